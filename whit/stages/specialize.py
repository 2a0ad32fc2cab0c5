"""Four formats of the same problems: asked alone or after examples, answered at once or by chain of thought.

A student of all four keeps the ability to learn from examples in its prompt; a student of bare problems loses it.
Source: arXiv:2301.12726.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Annotated, Any, Literal

from pydantic import Field

from whit.core.answers import INSTRUCTIONS, NOTE, completion_text, instruction_beside_form
from whit.core.errors import DataError, RecipeError
from whit.core.rundir import Run
from whit.core.seeds import stream
from whit.core.settings import Frozen
from whit.core.types import Artifact, Example, Message
from whit.data.render import Renderer
from whit.prompting.zero_shot import zero_shot
from whit.stages._model import renderer_at
from whit.stages._task import load_task
from whit.stages._traces import Trace, fits, load_traces, save_traces
from whit.verifiers._judge import judge

SPARE = 8  # demonstrations drawn beyond what is shown: some ask what the problem itself asks


class Formats(Frozen):
    """How many times the examples of each format are in the set: 0 leaves it out, 0.5 takes half of them at random."""

    zero_shot_answer: float = Field(1.0, ge=0)
    zero_shot_cot: float = Field(1.0, ge=0)
    in_context_answer: float = Field(1.0, ge=0)
    in_context_cot: float = Field(1.0, ge=0)


FORMATS = tuple(Formats.model_fields)


@dataclass(frozen=True, slots=True)
class Solution:
    """A right solution of a problem. ids: in the student's tokens, where it is a trace."""

    text: str
    source: str
    ids: tuple[int, ...] = ()


def specialize(
    start: Artifact,
    run: Run,
    *,
    source: Literal["given", "traces"] = "given",
    formats: Formats = Formats(),
    demonstrations: Annotated[int, Field(gt=0)] = 4,
    max_per_problem: Annotated[int, Field(gt=0)] = 10,
    problems: Annotated[int, Field(gt=0)] | None = None,
) -> Artifact:
    """Make traces of the training split in four formats, for a stage `sft` with source = "traces".

    source: solutions "given" by the data, or the "traces" that the stage before made, where they are whole and right.
    formats: how many times the examples of each are taken. At 1 a problem gives one example to each answer format, and
        one for each of its solutions to each chain-of-thought format. Answers alone are asked for in words.
    demonstrations: solved problems before the problem in the in-context formats, drawn anew for every example and never
        the problem itself. Where the context has no room for all of them, fewer; without room for one, it is left out.
    max_per_problem: at most so many solutions of one problem, drawn at random. The paper takes all, and easy problems
        then weigh many times as much as hard ones.
    problems: so many of the solved ones, drawn at random; None takes all. Long prompts take 2 ms each to make.
    GSM8K's calculator notes are removed. The report counts examples and tokens of each format, and what was left out.
    Raises RecipeError when no format has a weight, and DataError when no problem has a solution.
    """
    if not any(getattr(formats, name) for name in FORMATS):
        raise RecipeError("stage specialize: every weight in formats is 0. Give at least one format a weight above 0.")
    examples = load_task(run.task).take("train")
    renderer = renderer_at(start.path, run.template)
    traces = load_traces(start, "specialize") if source == "traces" else None
    found, counts = solutions(examples, traces, renderer, max_per_problem, run.seed)
    solved = [example for example in examples if example.id in found]
    if problems is not None and problems < len(solved):
        drawn = set(stream(run.seed, "specialize-problems").sample(range(len(solved)), problems))
        solved = [example for index, example in enumerate(solved) if index in drawn]
    maker = Maker(renderer, solved, found, formats, demonstrations, run.seed)
    made: list[tuple[str, Trace]] = []
    for pair in maker:
        if len(made) % 500 == 0:
            run.notify({"documents": len(made), "of": len(FORMATS) * len(solved)})
        made.append(pair)
    return save_traces(start, run, [t for _, t in made], {**counts, **maker.counts, "formats": shares(made)})


def solutions(
    examples: Sequence[Example], traces: Sequence[Trace] | None, renderer: Renderer, max_per_problem: int, seed: int
) -> tuple[dict[str, list[Solution]], dict[str, int]]:
    """The right solutions of each problem that has any, by its id, at most so many; and what was left out.

    traces: None takes the examples' own rationales. What nobody judged is judged now.
    """
    by_id: dict[str, list[Solution]] = {example.id: [] for example in examples}
    counts = {"refused": 0, "capped": 0}
    if traces is None:
        for example in examples:
            if example.rationale:
                by_id[example.id].append(Solution(NOTE.sub("", completion_text(example)), "gold"))
    else:
        asked = {example.id: example for example in examples}
        for trace in traces:
            if _is_right(trace, asked.get(trace.id), renderer):
                by_id[trace.id].append(Solution(trace.text, trace.source, trace.ids))
            else:
                counts["refused"] += 1
    found = {}
    for identity, own in by_id.items():
        own = list(dict.fromkeys(own))
        if len(own) > max_per_problem:
            counts["capped"] += len(own) - max_per_problem
            chosen = stream(seed, "specialize-solutions", identity).sample(range(len(own)), max_per_problem)
            own = [own[index] for index in sorted(chosen)]
        if own:
            found[identity] = own
    if not found:
        raise DataError(
            "stage specialize: no training problem has a right solution. Take data with worked solutions, or put a stage "
            'that makes traces before this one and set source = "traces".'
        )
    return found, {**counts, "unsolved": len(by_id) - len(found)}


@dataclass
class Maker:
    """The examples of all formats, problem by problem, as pairs of a format's name and a trace.

    solved: the problems; found: their solutions by id. counts: what was left out, after they were made.
    """

    renderer: Renderer
    solved: Sequence[Example]
    found: Mapping[str, Sequence[Solution]]
    formats: Formats
    demonstrations: int
    seed: int
    counts: dict[str, int] = field(default_factory=lambda: {"too_long": 0, "fewer_demonstrations": 0})

    def __iter__(self) -> Iterator[tuple[str, Trace]]:
        copies = {name: iter(self._copies(name)) for name in FORMATS}
        for example in self.solved:
            for name in FORMATS:
                for number, solution in enumerate(self._own(name, example)):
                    for copy in range(next(copies[name])):
                        if trace := self._trace(name, example, solution, f"{number}.{copy}"):
                            yield name, trace

    def _own(self, name: str, example: Example) -> Sequence[Solution]:
        """What a problem gives to a format: its answer once, or every solution."""
        if name.endswith("cot"):
            return self.found[example.id]
        return [Solution(NOTE.sub("", completion_text(example, with_rationale=False)), "gold")]

    def _copies(self, name: str) -> list[int]:
        """How often each example of a format is taken: the weight's whole part, and once more for the rest of it."""
        weight, size = getattr(self.formats, name), sum(len(self._own(name, example)) for example in self.solved)
        more = round((weight - int(weight)) * size)
        chosen = set(stream(self.seed, "specialize-formats", name).sample(range(size), more))
        return [int(weight) + (index in chosen) for index in range(size)]

    def _trace(self, name: str, example: Example, solution: Solution, number: str) -> Trace | None:
        ids = solution.ids or tuple(self.renderer.completion(solution.text))
        shown = self._shown(name, example, number) if name.startswith("in_context") else [()]
        for turns in shown:
            messages = (*turns, *_asked(name, example))
            if fits(self.renderer, messages, ids):
                self.counts["fewer_demonstrations"] += shown != [()] and len(turns) < 2 * self.demonstrations
                return Trace(example.id, messages, solution.text, ids, solution.source, correct=True)
        self.counts["too_long"] += 1
        return None

    def _shown(self, name: str, example: Example, number: str) -> list[tuple[Message, ...]]:
        """The turns of the demonstrations, then of all but the last, ..., down to one. Nobody else solved: none at all."""
        rng = stream(self.seed, "specialize-shown", name, example.id, number)
        turns: list[Message] = []
        for shot in rng.sample(self.solved, min(len(self.solved), self.demonstrations + SPARE)):
            if shot.group != example.group and shot.prompt != example.prompt and len(turns) < 2 * self.demonstrations:
                text = completion_text(shot, with_rationale=False)
                if name.endswith("cot"):
                    text = completion_text(shot) if shot.rationale else rng.choice(self.found[shot.id]).text
                turns += [*_asked(name, shot), Message("assistant", NOTE.sub("", text))]
        return [tuple(turns[:end]) for end in range(len(turns), 0, -2)]


def shares(made: Sequence[tuple[str, Trace]]) -> dict[str, dict[str, Any]]:
    """Of each format: examples, tokens that are supervised, and their share of all of these."""
    total = sum(len(trace.ids) for _, trace in made)
    tokens = {name: [len(trace.ids) for kind, trace in made if kind == name] for name in FORMATS}
    return {
        name: {"examples": len(own), "tokens": sum(own), "token_share": sum(own) / max(1, total)}
        for name, own in tokens.items()
    }


def _asked(name: str, example: Example) -> list[Message]:
    """The problem as a format asks it: chain of thought in the task's own words, which it is measured with."""
    if name.endswith("cot"):
        return zero_shot(example)
    instruction = f"{INSTRUCTIONS['plain']} {instruction_beside_form(example)}".strip()
    return zero_shot(replace(example, instruction=instruction))


def _is_right(trace: Trace, example: Example | None, renderer: Renderer) -> bool:
    """Whether it solves a problem of the training split, and ends."""
    if example is None or trace.ids[-1:] == () or trace.ids[-1] not in renderer.stop_ids:
        return False
    return judge(trace.text, example).correct if trace.correct is None else trace.correct
