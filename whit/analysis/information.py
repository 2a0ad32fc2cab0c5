"""What a model's states tell of a task's labels, layer by layer, in its own space and in an earlier one."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from torch import Tensor

from whit.core.errors import DataError
from whit.core.files import read_record
from whit.core.rundir import write_beside
from whit.core.seeds import stream
from whit.core.types import Example
from whit.data.render import Renderer
from whit.models.load import Policy
from whit.prompting.zero_shot import zero_shot
from whit.spaces.bank import apart
from whit.spaces.build import Pairs, build_space, labels_of
from whit.spaces.probe import plane, profile_of
from whit.spaces.states import last_states
from whit.spaces.task_space import Method, TaskSpace

FILE, OLD_FILE = "profile.json", "profile-directions-of-before.json"


@dataclass(frozen=True)
class Profile:
    """By layer. nats, accuracy: of a held-out probe of the coordinates, as `Told`; kept: share of a state in the space.

    texts: ids of the examples whose states were read, a random half of them to fit the probe.
    """

    layers: list[int]
    nats: list[float]
    accuracy: list[float]
    kept: list[float]
    texts: list[str]

    @property
    def best(self) -> int:
        """The place in `layers` where the coordinates tell most."""
        return max(range(len(self.nats)), key=lambda place: self.nats[place])

    def save(self, directory: Path, name: str = FILE) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        write_beside(directory / name, json.dumps(asdict(self)))

    @classmethod
    def load(cls, directory: Path) -> "Profile":
        """Raises DataError where there is none."""
        if not (directory / FILE).exists():
            raise DataError(
                f"{directory} holds no profile of a space ({FILE}). `whit space MODEL DIR --task T` makes one."
            )
        return cls(**read_record(directory / FILE))


@dataclass(frozen=True)
class Seen:
    """A space and its profile; the ids of the texts that built it; the judged texts by label, on two components.

    made: how, for the space's record. earlier: the profile of the model before a training. in_earlier: of this model by the
    directions of that one, around its own mean, since a training moves the mean too.
    """

    space: TaskSpace
    profile: Profile
    built: list[str]
    points: dict[str, list[tuple[float, float]]]
    made: dict[str, str | None]
    earlier: Profile | None = None
    in_earlier: Profile | None = None


def see_space(
    policy: Policy, renderer: Renderer, examples: Sequence[Example], *, pairs: Pairs = "hints", contexts: int = 64,
    method: Method = "pca", seed: int = 0, before: Path | None = None, template: str | None = None,
    notify: Callable[[str], None] = lambda _: None,
) -> Seen:  # fmt: skip
    """Build a space of one half of the examples of each label, and ask a probe of the other half's states.

    before: a directory that `Seen.profile` and `Seen.space` of an earlier model were kept in, such as the one that a
        training began with: the states are read with its directions too. template: the renderer's, for the record.
    Raises DataError as `build_space`, and for an earlier space of other labels, states or texts, or made otherwise.
    """
    built, judged = apart(examples, 0.5, stream(seed, "space-probe"))
    texts = [example.id for example in judged]
    made = {"template": template, "pairs": pairs, "method": method}
    earlier = None if before is None else _earlier(before, texts, labels_of(built), made, policy)
    notify("building the space")
    space = build_space(policy.decoder, renderer, built, pairs=pairs, contexts=contexts, method=method, seed=seed)
    notify("asking the probe")
    states_NSD = last_states(policy.decoder, [renderer.prompt(zero_shot(e)) for e in judged], space.layers)
    gold = [space.labels.index(example.gold) for example in judged]

    def profile(of: TaskSpace) -> Profile:
        told = profile_of(of, states_NSD, gold, seed)
        kept = of.kept(states_NSD).mean(0).tolist()
        return Profile(list(of.layers), [one.nats for one in told], [one.accuracy for one in told], kept, texts)

    own = profile(space)
    points = _by_label(space, space.coordinates(states_NSD)[:, own.best], gold)
    seen = Seen(space, own, [example.id for example in built], points, made)
    if earlier is None:
        return seen
    old, its_own = earlier
    return replace(seen, earlier=its_own, in_earlier=profile(replace(old, mean_SD=space.mean_SD)))


def _earlier(
    directory: Path, texts: Sequence[str], labels: Sequence[str], made: Mapping[str, str | None], policy: Policy
) -> tuple[TaskSpace, Profile]:
    space, profile, facts = TaskSpace.load(directory), Profile.load(directory), read_record(directory / "space.json")
    if profile.texts != list(texts):
        raise DataError(
            f"{directory} was read from other texts than these: give the --task, --items and --seed that it was made with."
        )
    if set(space.labels) != set(labels):
        raise DataError(
            f"{directory} is a space of {', '.join(space.labels)}, and these labels are {', '.join(labels)}."
        )
    if other := [name for name, value in made.items() if facts.get(name, value) != value]:
        told = ", ".join(f"{name} {facts[name] or 'of the model'}" for name in other)
        raise DataError(f"{directory} was made with {told}. Give the same --{', --'.join(other)}.")
    width, count = policy.decoder.config.shape.width, len(policy.decoder.layers())
    if space.mean_SD.shape[-1] != width or space.layers[-1] >= count:
        raise DataError(
            f"{directory} is the space of a model with states of width {space.mean_SD.shape[-1]} after layers up to "
            f"{space.layers[-1]}, and this one has {count} layers of width {width}: give a model that was trained from it."
        )
    return space, profile


def _by_label(space: TaskSpace, coordinates_NK: Tensor, gold: Sequence[int]) -> dict[str, list[tuple[float, float]]]:
    found: dict[str, list[tuple[float, float]]] = {}
    for (a, b), label in zip(plane(coordinates_NK).tolist(), gold, strict=True):
        found.setdefault(space.labels[label], []).append((a, b))
    return found
