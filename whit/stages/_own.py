"""The reward, the shapings and the curriculum of a stage that samples: what they give is checked wherever they are called.

Each may be anybody's code. An error names the setting, the part, and the line of its file; `try_out` finds most of them
before a weight is trained.
"""

import json
from collections.abc import Mapping, Sequence
from functools import partial
from operator import index
from typing import Any

from whit.core.answers import completion_text
from whit.core.errors import PartError
from whit.core.own import Named, finite, is_number, shown
from whit.core.parts import bind
from whit.core.types import Answered, Example, Shaping, Verdict
from whit.curricula._types import Curriculum, Tried
from whit.rollouts.collect import Reward
from whit.stages._kinds import GROUPS
from whit.stages._setup import formed
from whit.stages._task import load_task

PartSpec = str | Mapping[str, Any]
TRIED_OUT = 4  # completions of the made-up group


def made_part(kind: str, spec: PartSpec, where: str = "") -> Any:
    """A part by its name, or by a table {name = ..., its settings}, with its settings fixed."""
    settings = {"name": spec} if isinstance(spec, str) else dict(spec)
    return bind(kind, str(settings.pop("name", "")), settings, where or f"stage rl, {kind}")


def named_part(kind: str, spec: PartSpec, where: str) -> Named:
    """As `made_part`, called so that its errors name it."""
    return Named(made_part(kind, spec, where), where, _name_of(spec), is_own=_is_own(spec))


def _name_of(spec: PartSpec) -> str:
    return spec if isinstance(spec, str) else str(spec.get("name", ""))


def made_reward(spec: PartSpec, where: str) -> Reward:
    """The reward of a stage. Raises PartError where it gives no finite number."""
    part = named_part("reward", spec, where)

    def reward(verdict: Verdict, text: str) -> float:
        value = part(verdict, text, about=f"for the text {text[:60]!r}")
        return finite(value, str(part), text)

    return reward


def made_shapings(spec: PartSpec | Sequence[PartSpec], where: str) -> list[Shaping]:
    """The shapings of a stage, in their order."""
    if isinstance(spec, str | Mapping):
        return [checked_shaping(named_part("shaping", spec, where))]
    return [checked_shaping(named_part("shaping", one, f"{where}.{number}")) for number, one in enumerate(spec, 1)]


def checked_shaping(part: Named) -> Shaping:
    """The shaping. Raises PartError where it does not give a finite number for each rollout."""
    return partial(_shape, part)


def _shape(part: Named, answers: Sequence[Answered]) -> list[float]:
    about = f"for a group of {len(answers)} rollouts"
    rewards = part(answers, about=about)
    found = list(rewards) if hasattr(rewards, "__iter__") else None
    if found is None or len(found) != len(answers) or not all(map(is_number, found)):
        raise PartError(f"{part} gave {shown(rewards)} {about}. It has to give a finite number for each.")
    return [float(reward) for reward in found]


def made_curriculum(spec: PartSpec, examples: Sequence[Example], seed: int, where: str) -> Curriculum:
    """The curriculum of a stage, whose choices are checked.

    Raises PartError for what is no curriculum, and for a class that overrides nothing, whose misnamed method nobody calls.
    """
    part = named_part("curriculum", spec, where)
    made = part(examples, seed)
    if not isinstance(made, Curriculum):
        raise PartError(
            f"{part} gave {shown(made)}, and a curriculum is a subclass of whit.curricula._types.Curriculum: name the "
            "class itself, or a function that returns an object of it."
        )
    if not hasattr(made, "_taken"):
        raise PartError(f"{part} has an __init__ that does not call super().__init__(examples, seed). Add that line.")
    its = ("choose", "see", "next_of", "counts_of")
    if type(made) is not Curriculum and all(getattr(type(made), f) is getattr(Curriculum, f) for f in its):
        raise PartError(
            f"{part} overrides neither `choose` nor `see` of Curriculum, so it would be plain epochs. Give its method the "
            'name choose(self, count), or write curriculum = "epochs".'
        )
    return _Checked(made, part, len(examples))


class _Checked(Curriculum):
    """A curriculum that is asked for prompts, and refused where it chooses what is not there."""

    def __init__(self, inner: Curriculum, part: Named, size: int):
        self.inner, self.part, self.size = inner, part, size
        self.name, self.note = inner.name, inner.note

    def choose(self, count: int) -> list[int]:
        chosen = self._ask("choose", count)
        if wrong := self._wrong(chosen, count):
            raise PartError(f"{self.part} chose {wrong}. {self._needed(count)}")
        return [index(place) for place in chosen]

    def see(self, tried: Sequence[Tried]) -> None:
        self._ask("see", tried)

    def numbers(self) -> dict[str, float]:
        found = self._ask("numbers")
        if not isinstance(found, dict) or not all(map(is_number, found.values())):
            raise PartError(
                f"{self.part} has numbers() that give {shown(found)}. They have to give a finite number by name."
            )
        return found

    def observe(self, line: Mapping[str, float]) -> None:
        self._ask("observe", line)

    def state(self) -> dict[str, Any]:
        found: dict[str, Any] = self._ask("state")
        return found

    def restore(self, state: Mapping[str, Any]) -> None:
        self._ask("restore", state)

    def _ask(self, method: str, *given: Any) -> Any:
        own = Named(getattr(self.inner, method), self.part.where, self.part.name, self.part.is_own)
        return own(*given, about=f"in {method}")

    def _wrong(self, chosen: Any, count: int) -> str:
        """What is wrong with a choice; "" where nothing is."""
        if isinstance(chosen, str) or not hasattr(chosen, "__len__") or not hasattr(chosen, "__iter__"):
            return f"{shown(chosen)}, which is no list of places"
        if not len(chosen):
            return "no prompt"
        if odd := [c for c in chosen if isinstance(c, bool) or not hasattr(c, "__index__")]:
            return f"{shown(odd[0])}, which is no whole number"
        if absent := [c for c in chosen if not 0 <= c < self.size]:
            return f"{absent[0]}, and there is no such place"
        if len(set(chosen)) < len(chosen):
            return f"{next(c for c in chosen if list(chosen).count(c) > 1)} more than once in {shown(chosen)}"
        return f"{len(chosen)} prompts" if len(chosen) > count else ""

    def _needed(self, count: int) -> str:
        return (
            f"`choose` has to give different places among the {self.size:,} examples, whole numbers from 0 to "
            f"{self.size - 1}: at least one, and at most the {count} that it is asked for."
        )


def try_out(stage: Mapping[str, Any], task: Any, where: str, seed: int) -> None:
    """Call the reward, the shapings and the curriculum of a stage as it would, on completions that are made up.

    stage: its settings, whole. Those of whit's own are not called, but for a curriculum, which may not fit the task.
    Raises RunError, PartError, RecipeError or DataError for what the stage would raise after others were trained.
    """
    if stage["kind"] not in GROUPS:
        return
    examples = load_task(task).take("train")
    if stage["kind"] == "hybrid":
        solutions(examples, stage["form"])
    if _is_own(spec := stage.get("reward", "accuracy")):
        reward = made_reward(spec, f"{where}.reward")
        for example in examples[:TRIED_OUT]:
            reward(Verdict(True, strict=True, has_format=True, answer=example.gold), completion_text(example))
            reward(Verdict(False, status="no_answer"), "I do not know.")
    if _is_own(spec := stage.get("shaping", ())):
        for shape in made_shapings(spec, f"{where}.shaping"):
            for right in range(TRIED_OUT + 1):
                shape([Answered(float(n < right), n < right, 10 + n, 40, f"text {n}") for n in range(TRIED_OUT)])
    spec, count = stage.get("curriculum", "epochs"), int(stage["prompts_per_step"])
    curriculum, again = (made_curriculum(spec, examples, seed, f"{where}.curriculum") for _ in range(2))
    if not _is_own(spec):
        return
    for _ in range(2):
        curriculum.see([Tried(place, (place % 3) / 2) for place in curriculum.choose(count)])
        curriculum.numbers()
    try:
        kept = json.loads(json.dumps(curriculum.state()))
    except (TypeError, ValueError) as error:
        raise PartError(
            f"{where}.curriculum: {_name_of(spec)} has a state() that is no JSON: {error}. Give numbers, texts, lists "
            "and tables; keys are texts."
        ) from error
    again.restore(kept)
    again.choose(count)


def solutions(examples: Sequence[Example], form: str) -> tuple[list[tuple[Example, str]], int]:
    """What the stage hybrid imitates, as `formed`. Raises DataError where there is none."""
    return formed(
        examples, form,
        otherwise=f'no training example has the form "{form}" that the stage hybrid imitates: it is read from rationales. '
        'Set form = "answer", which every example has, or take the stage rl.',
    )  # fmt: skip


def _is_own(spec: Any) -> bool:
    """Whether a setting names a part of one's own, itself or inside a part that calls others."""
    if isinstance(spec, Mapping):
        spec = list(spec.values())
    return any(map(_is_own, spec)) if isinstance(spec, list | tuple) else isinstance(spec, str) and ":" in spec
