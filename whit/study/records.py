"""The records of runs and arms as rows and scores: what every comparison reads. Files only."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from whit.core.errors import RunError
from whit.core.files import read_record, read_rows
from whit.core.types import Interval
from whit.stats.passk import majority_at_k

Items = dict[str, tuple[str, float]]
"""Group and score by the id of an item."""
MAJORITY = "majority@8"


@dataclass(frozen=True)
class Row:
    """One pipeline or arm.

    accuracy: mean over seeds, items and samples, under the frozen profile; difference: to the untrained model asked
    zero-shot, simultaneous over the rows; None for that model itself, and for trained rows while none has two seeds.
    median: of the seeds' accuracies, for a mean that a collapsed seed drags.
    flops, seconds: of one run, mean over seeds; a shared prefix counts in full for every pipeline that uses it. flops ends
        where dev stopped the run; unspent is the share of its operations that came after.
    flops_from_nothing: with all that had to be run to know where to stop, which rate to take, and who goes on to the test,
        and with the writing of a teacher's texts that were given.
    """

    name: str
    is_trained: bool
    is_control: bool
    accuracy: Interval
    difference: Interval | None
    strict: float
    greedy: float
    format_rate: float
    tokens: float
    truncated: float
    flops: float
    seconds: float
    flops_from_nothing: float
    unspent: float
    seeds: int
    median: float
    outcomes: dict[str, int]

    @property
    def is_better(self) -> bool:
        """Whether the difference excludes zero, upwards."""
        return self.difference is not None and self.difference.low > 0


def one_protocol(where: Path | str, records: Sequence[Any]) -> str:
    """The protocol that all records were judged by. Raises RunError when there is more than one."""
    found = sorted({str(record.get("protocol", "")) for record in records})
    if len(found) > 1:
        raise RunError(
            f"{where}: these runs were judged by different protocols ({', '.join(name or 'none' for name in found)}), so "
            "they cannot be compared. Run them again: what still stands is kept."
        )
    return found[0]


def item_scores(name: str, record: dict[str, Any], path: Path | None = None) -> Items:
    """Group and score of every item of a recorded run or arm, from its completions.

    path: where the evaluation is, when it is not where the record says. Raises RunError when the record and the
    completions tell different stories.
    """
    items = _items(path or Path(record["score_path"]), majority=8 if name == MAJORITY else None)
    if name != MAJORITY:
        _check(name, record, items)
    return items


def _items(path: Path, majority: int | None) -> Items:
    """The mean over an item's samples, or the expected credit of a vote."""
    votes: dict[str, tuple[str, list[tuple[str | None, bool]]]] = {}
    for record in read_rows(path / "completions.jsonl"):
        if not record["greedy"]:
            votes.setdefault(record["id"], (record["group"], []))[1].append((record["answer"], record["correct"]))
    if majority:
        return {k: (g, majority_at_k([a for a, _ in v], [c for _, c in v], majority)) for k, (g, v) in votes.items()}
    return {k: (g, sum(c for _, c in v) / len(v)) for k, (g, v) in votes.items()}


def _check(name: str, record: dict[str, Any], items: Items) -> None:
    told, found = record["score"]["accuracy"][0], sum(score for _, score in items.values()) / len(items)
    if abs(told - found) > 1e-6:
        raise RunError(
            f"{name}: its record says {100 * told:.2f} % and its completions {100 * found:.2f} %: one of them was changed. "
            "Delete the record and run the study again."
        )


def aligned(name: str, own: Items, items: Items, other: str) -> np.ndarray:
    """[I]: the scores `own` in the order of `items`, which `other` was scored on. Raises RunError when they differ."""
    if own.keys() != items.keys():
        missing = len(items.keys() - own.keys())
        raise RunError(f"{name} was scored on other items than {other} ({missing} are missing): not comparable.")
    return np.array([own[key][1] for key in items])


def arm_row(name: str, record: dict[str, Any], accuracy: Interval, difference: Interval | None) -> Row:
    return Row(name=name, is_trained=False, is_control=False, accuracy=accuracy, difference=difference, flops=0.0,
               seconds=0.0, flops_from_nothing=0.0, unspent=0.0, seeds=1,
               median=accuracy.estimate, outcomes={}, **_shown([record["score"]]))  # fmt: skip


def run_row(
    name: str,
    records: list[dict[str, Any]],
    accuracy: Interval,
    difference: Interval | None,
    *,
    is_control: bool,
    chosen_flops: float,
) -> Row:
    outcomes = [record["outcome"] for record in records]
    stops, whole = [stop_of(record) for record in records], [spent_flops(record) for record in records]
    given = [_given_flops(record) for record in records]
    costs = [spent - stop["unspent_flops"] for spent, stop in zip(whole, stops, strict=True)]
    known = [spent + stop["flops"] + texts for spent, stop, texts in zip(whole, stops, given, strict=True)]
    seconds = [spent_seconds(record) for record in records]
    return Row(name=name, is_trained=True, is_control=is_control, accuracy=accuracy, difference=difference,
               flops=float(np.mean(costs)), flops_from_nothing=float(np.mean(known)) + chosen_flops,
               unspent=float(1 - np.sum(costs) / max(1.0, np.sum(whole))),
               seconds=float(np.mean(seconds)), seeds=len(records),
               median=float(np.median([record["score"]["accuracy"][0] for record in records])),
               outcomes={outcome: outcomes.count(outcome) for outcome in sorted(set(outcomes))},
               **_shown([record["score"] for record in records]))  # fmt: skip


def _shown(summaries: list[dict[str, Any]]) -> dict[str, float]:
    def mean(key: str) -> float:
        values = [summary[key] for summary in summaries if key in summary]
        return float(np.mean([v[0] if isinstance(v, list) else v for v in values])) if values else float("nan")

    return {
        "strict": mean("strict"), "greedy": mean("greedy_accuracy"), "format_rate": mean("format_rate"),
        "tokens": mean("tokens"), "truncated": mean("truncated"),
    }  # fmt: skip


def read_all(directory: Path, names: tuple[str, ...]) -> dict[str, Any]:
    records = {name: read_one(directory / f"{name}.json") for name in names}
    return {name: record for name, record in records.items() if record is not None}


def read_one(path: Path) -> Any:
    return read_record(path) if path.exists() else None


def spent_flops(record: Any) -> float:
    """Operations of a run's stages, and of the one that failed."""
    return float(sum(stage["flops"] for stage in record["stages"]) + _lost(record)["flops"])


def spent_seconds(record: Any) -> float:
    """The time of a run's stages, and of the one that failed."""
    return float(sum(stage["seconds"] for stage in record["stages"]) + _lost(record)["seconds"])


def _lost(record: Any) -> dict[str, float]:
    return record.get("lost") or {"flops": 0.0, "seconds": 0.0}


def _given_flops(record: Any) -> float:
    """What it took to write the teacher's texts that a run was given, as far as it is known."""
    return float(sum(stage.get("outcome", {}).get("texts", {}).get("flops", 0.0) for stage in record["stages"]))


def stop_of(record: Any) -> dict[str, Any]:
    return record.get("stopped") or {"unspent_flops": 0.0, "flops": 0.0}
