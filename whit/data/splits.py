"""Train, dev and test: disjoint by group and by near-duplicate, and unmoved when rows are added."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Literal

from whit.core.errors import DataError, UsageError
from whit.core.seeds import key64
from whit.core.similar import clusters, near_duplicates
from whit.core.types import Example, Split

SPLITS: tuple[Split, ...] = ("train", "dev", "test")


@dataclass(frozen=True, slots=True)
class Splits:
    """Examples by split, in the order of their source.

    num_dropped: examples left out because they repeat one of another split.
    notes: sentences for the run's summary: what was detected, counted, dropped.
    """

    examples: Mapping[Split, tuple[Example, ...]]
    num_dropped: int = 0
    notes: tuple[str, ...] = ()


def split_examples(
    examples: Sequence[Example],
    given: Mapping[str, Split] | None = None,
    *,
    seed: int = 0,
    dev_frac: float = 0.1,
    test_frac: float = 0.2,
    on_duplicates: Literal["error", "drop"] = "error",
) -> Splits:
    """All three splits; examples that share a group or are near-duplicates stand in one of them.

    given: the split of every example id, where the source has them; one that it lacks is carved from its train.
    dev_frac, test_frac: expected shares. A hash of (seed, group) draws the split, so that added rows move nothing.
    on_duplicates: what to do when examples of one group, or near-duplicates, stand in two given splits: stop, or keep
        those of test before dev before train.
    Raises DataError for such duplicates, and when there are fewer independent groups than splits to fill.
    """
    if min(dev_frac, test_frac) <= 0 or dev_frac + test_frac >= 1:
        raise UsageError(f"dev_frac={dev_frac} and test_frac={test_frac}: both must be above 0, their sum below 1.")
    given = given or {}
    shares: dict[Split, float] = {"test": test_frac, "dev": dev_frac}
    carved = {split: share for split, share in shares.items() if split not in given.values()}
    homes: dict[str, Split] = {}  # by example id
    draws: dict[float, list[Example]] = {}  # the clusters that are not in a given dev or test
    conflicts = []
    for cluster in _clusters(examples):
        found = {given[example.id] for example in cluster} if given else set()
        home = next((split for split in ("test", "dev") if split in found), None)
        if len(found) > 1:
            conflicts.append(cluster)
        if home is None:
            draws[key64(seed, "split", min(example.group for example in cluster)) / 2**64] = cluster
        homes |= {example.id: home for example in cluster if home and given[example.id] == home}
    if conflicts and on_duplicates == "error":
        raise DataError(_explain(conflicts, given))
    homes |= _draw(draws, carved)
    by_split = {split: tuple(e for e in examples if homes.get(e.id) == split) for split in SPLITS}
    num_dropped = len(examples) - len(homes)
    return Splits(by_split, num_dropped, tuple(_notes(carved, bool(given), num_dropped)))


def _clusters(examples: Sequence[Example]) -> list[list[Example]]:
    """Examples joined by a common group or by being near-duplicates, in the order of their first member."""
    first_of_group: dict[str, int] = {}
    of_group = [(first_of_group.setdefault(example.group, index), index) for index, example in enumerate(examples)]
    found = clusters(len(examples), chain(of_group, near_duplicates([example.prompt for example in examples])))
    return [[examples[index] for index in members] for members in found]


def _draw(draws: Mapping[float, list[Example]], carved: Mapping[Split, float]) -> dict[str, Split]:
    """The split of every example that has to be drawn: its number in [0, 1) falls into the share of a split."""
    if len(draws) <= len(carved):
        raise DataError(
            f"{sum(map(len, draws.values()))} examples form {len(draws)} independent groups, but {len(carved) + 1} are "
            f"needed to fill train{''.join(f' and {split}' for split in carved)}. Add rows; rows with one group or "
            "almost equal prompts count as one."
        )
    members: dict[Split, list[float]] = {split: [] for split in SPLITS}
    for draw in sorted(draws):
        edge, home = 0.0, SPLITS[0]
        for split, share in carved.items():
            if edge <= draw < edge + share:
                home = split
            edge += share
        members[home].append(draw)
    for split in carved:  # a small file can leave a split empty: it gets the nearest group of the fullest one
        if not members[split]:
            members[split].append(max(members.values(), key=len).pop(0))
    if not members["train"]:
        members["train"].append(max(members.values(), key=len).pop())
    return {example.id: split for split, keys in members.items() for key in keys for example in draws[key]}


def _explain(conflicts: list[list[Example]], given: Mapping[str, Split]) -> str:
    shown = []
    for cluster in conflicts[:3]:
        one = cluster[0]
        other = next(example for example in cluster if given[example.id] != given[one.id])
        shown.append(f"{_name(one)} ({given[one.id]}) and {_name(other)} ({given[other.id]}): {one.prompt[:60]!r}")
    more = f" and {len(conflicts) - 3} more" if len(conflicts) > 3 else ""
    return (
        f"the same or almost the same problem, or one group, stands in two splits: {'; '.join(shown)}{more}. "
        'Remove one of each, or set on_duplicates = "drop" to keep test before dev before train.'
    )


def _name(example: Example) -> str:
    return f"row {example.metadata['row']}" if "row" in example.metadata else f"example {example.id}"


def _notes(carved: Mapping[Split, float], has_given: bool, num_dropped: int) -> Iterator[str]:
    if has_given and carved:
        yield f"the source has no {' and no '.join(carved)} split: carved from its train"
    if num_dropped:
        yield f"{num_dropped:,} examples dropped because they repeat one of another split"
