"""The leaderboard of a study: scores with intervals, and differences to the untrained model, paired by item.

Only run directories are read, so a leaderboard can be made again at any time. The statistics are those of `stats.paired`:
crossed random effects of items (by group) and seeds, simultaneous over the comparisons.
"""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from whit.core.errors import RunError
from whit.core.files import read_record, read_rows
from whit.core.types import Interval
from whit.stats.intervals import seed_means
from whit.stats.paired import compare as compare_pairs
from whit.stats.paired import compare_to_reference
from whit.stats.passk import majority_at_k
from whit.study.openings import openings
from whit.study.study import PipelineSpec, Study
from whit.study.verdict import Candidate, Verdict, decide

REFERENCE = "zero_shot"


@dataclass(frozen=True)
class Row:
    """One pipeline or arm.

    accuracy: mean over seeds, items and samples, under the frozen profile; difference: to the untrained model asked
    zero-shot, simultaneous over the rows; None for that model itself, and for trained rows while none has two seeds.
    median: of the seeds' accuracies, for a mean that a collapsed seed drags.
    flops, seconds: of one run, mean over seeds; a shared prefix counts in full for every pipeline that uses it. flops ends
        where dev stopped the run; unspent is the share of its operations that came after.
    flops_from_nothing: with all that had to be run to know where to stop, which rate to take, and who goes on to the test.
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


@dataclass(frozen=True)
class Leaderboard:
    """Rows, best first.

    best: the trained row that the verdict recommends, else the one with the highest mean; None when nothing was trained.
    best_run: its best seed on dev; on the test items where runs do not stop on dev. chosen_on: which of the two.
    failures: arms that could not be scored, with the reason. protocol: name and hash of how all of them were judged.
    looks, other_looks: models that were scored on the test split, by this study and beside it.
    """

    rows: tuple[Row, ...]
    failures: dict[str, str]
    best: str | None
    best_run: str | None
    chosen_on: str
    verdict: Verdict
    protocol: str
    rates: dict[str, Any]
    qualified: dict[str, Any]
    looks: int
    other_looks: int
    num_items: int
    num_samples: int
    complete: bool

    def to_plain(self) -> dict[str, Any]:
        return asdict(self)


def difference(study: Study, directory: Path, a: str, b: str) -> Interval:
    """Pipeline a minus pipeline b, as a comparison that was named beforehand and is alone in its family."""
    _, arms, runs = _records(study, directory)
    groups, scores = _matrices(study, arms, runs)
    return compare_pairs(scores, groups, [(a, b)], fixed=set(arms))[0].difference


def _records(study: Study, directory: Path) -> tuple[dict[str, Any], dict[str, Any], dict[tuple[str, int], Any]]:
    """What was recorded of the arms, of those that could be scored, and of the runs by pipeline and seed."""
    asked = _read(directory / "arms", study.arms)
    arms = {name: record for name, record in asked.items() if "score" in record}
    runs = {
        (spec.name, seed): record
        for spec, seed in study.runs()
        if (record := _read_one(directory / "runs" / f"{spec.name}-seed{seed}" / "run.json")) is not None
    }
    if REFERENCE not in arms:
        raise RunError(f"{directory}: the untrained model is not scored yet, so there is nothing to compare with.")
    return asked, arms, runs


def compare(
    study: Study, directory: Path, rates: Mapping[str, Any] | None = None, qualified: Mapping[str, Any] | None = None
) -> Leaderboard:
    """The leaderboard of what is finished. Raises RunError when not even the untrained model is scored.

    rates, qualified: what was seen on dev before the test (`rounds.with_rates`, `rounds.with_finalists`).
    """
    rates, qualified = rates or {}, qualified or {}
    asked, arms, runs = _records(study, directory)
    protocol = _one_protocol(directory, [*arms.values(), *runs.values()])
    groups, scores = _matrices(study, arms, runs)
    # Without a second seed of anything, how much a training varies is unknown: intervals then cover the items alone.
    has_seeds = any(len(rows) > 1 for rows in scores.values())
    means = seed_means(scores, groups, fixed=set(arms) if has_seeds else set(scores))
    compared = scores if has_seeds else {name: scores[name] for name in arms}
    family = compare_to_reference(compared, groups, REFERENCE, fixed=set(arms)) if len(compared) > 1 else ()
    differences = {row.a: row.difference for row in family}
    rows = [_arm_row(name, record, means[name], differences.get(name)) for name, record in arms.items()]
    for spec in study.pipeline:
        own = [record for (name, _), record in runs.items() if name == spec.name]
        if own:
            change = differences.get(spec.name)
            rows.append(
                _run_row(
                    spec.name,
                    own,
                    means[spec.name],
                    change,
                    is_control=spec.control,
                    chosen_flops=sum(seen.get(spec.name, {}).get("flops", 0.0) for seen in (rates, qualified)),
                )
            )
    rows.sort(key=lambda row: -row.accuracy.estimate)
    failures = {name: str(record["error"]) for name, record in asked.items() if "error" in record}
    complete = len(asked) == len(study.arms) and len(runs) == len(study.runs())
    candidates = {
        spec.name: _candidate(spec, [r for (name, _), r in runs.items() if name == spec.name], differences, study.flops)
        for spec in study.candidates
        if any(name == spec.name for name, _ in runs)
    }
    verdict = decide(scores, groups, candidates, REFERENCE)
    trained = [row.name for row in rows if row.is_trained and not row.is_control]
    best = verdict.recommended if verdict.recommended in trained else next(iter(trained), None)
    best_run, chosen_on = _best_run(best, runs) if best else (None, "")
    return Leaderboard(
        tuple(rows),
        failures,
        best,
        best_run,
        chosen_on,
        verdict,
        protocol,
        dict(rates),
        dict(qualified),
        *openings([Path(record["score_path"]) for record in [*arms.values(), *runs.values()]]),
        len(groups),
        study.evaluate.samples,
        complete,
    )


def _candidate(spec: PipelineSpec, records: list[Any], gains: Mapping[str, Interval], ceiling: float) -> Candidate:
    """What a verdict weighs: costs are those of the runs that finished, the ceiling when none did."""
    finished = [record for record in records if record["outcome"] == "finished"]
    flops = [_flops(record) - _stop(record)["unspent_flops"] for record in finished] or [ceiling]
    seconds = [sum(stage["seconds"] for stage in record["stages"]) for record in finished] or [math.inf]
    is_sound = len(finished) == len(records)
    return Candidate(gains.get(spec.name), float(np.mean(flops)), float(np.mean(seconds)), len(spec.stage), is_sound)


def _flops(record: Any) -> float:
    """Operations of a run's stages, and of the one that failed."""
    return float(sum(stage["flops"] for stage in record["stages"]) + record.get("lost_flops", 0.0))


def _stop(record: Any) -> dict[str, Any]:
    return record.get("stopped") or {"unspent_flops": 0.0, "flops": 0.0}


def _best_run(best: str, runs: dict[tuple[str, int], Any]) -> tuple[str, str]:
    """The best seed, and the split that says so."""
    own = {seed: record for (name, seed), record in runs.items() if name == best}
    stops = {seed: record.get("stopped") or {} for seed, record in own.items()}
    chosen_on = "dev" if all(stop.get("dev") for stop in stops.values()) else "test"
    if chosen_on == "dev":
        seed = max(own, key=lambda seed: stops[seed]["dev"][stops[seed]["share"]])
    else:
        seed = max(own, key=lambda seed: own[seed]["score"]["accuracy"][0])
    return f"{best}-seed{seed}", chosen_on


def _one_protocol(directory: Path, records: list[Any]) -> str:
    """Raises RunError when records were judged in different ways."""
    found = sorted({str(record.get("protocol", "")) for record in records})
    if len(found) > 1:
        raise RunError(
            f"{directory}: its runs were judged by different protocols ({', '.join(name or 'none' for name in found)}), so "
            "they cannot be compared. Run the study again: what still stands is kept."
        )
    return found[0]


def _matrices(
    study: Study, arms: dict[str, Any], runs: dict[tuple[str, int], Any]
) -> tuple[list[str], dict[str, np.ndarray]]:
    """Per-item scores [S, I] of every row, items in one common order."""
    items: dict[str, str] = {}
    scores: dict[str, np.ndarray] = {}
    for name, record in arms.items():
        by_item = _by_item(Path(record["score_path"]), majority=8 if name == "majority@8" else None)
        if name != "majority@8":
            _check_record(name, record, by_item)
        items = items or {key: group for key, (group, _) in by_item.items()}
        scores[name] = _aligned(by_item, items, name)[None]
    for spec in study.pipeline:
        rows = []
        for (name, seed), record in runs.items():
            if name == spec.name:
                by_item = _by_item(Path(record["score_path"]))
                _check_record(f"{name}-seed{seed}", record, by_item)
                rows.append(_aligned(by_item, items, f"{name}-seed{seed}"))
        if rows:
            scores[spec.name] = np.stack(rows)
    return list(items.values()), scores


def _by_item(path: Path, majority: int | None = None) -> dict[str, tuple[str, float]]:
    """Group and score of every item: the mean over samples, or the expected credit of a vote."""
    votes: dict[str, tuple[str, list[tuple[str | None, bool]]]] = {}
    for record in read_rows(path / "completions.jsonl"):
        if not record["greedy"]:
            votes.setdefault(record["id"], (record["group"], []))[1].append((record["answer"], record["correct"]))
    if majority:
        return {k: (g, majority_at_k([a for a, _ in v], [c for _, c in v], majority)) for k, (g, v) in votes.items()}
    return {k: (g, sum(c for _, c in v) / len(v)) for k, (g, v) in votes.items()}


def _check_record(name: str, record: dict[str, Any], by_item: dict[str, tuple[str, float]]) -> None:
    """Raises RunError when a record and the completions behind it tell different stories."""
    told, found = record["score"]["accuracy"][0], sum(score for _, score in by_item.values()) / len(by_item)
    if abs(told - found) > 1e-6:
        raise RunError(
            f"{name}: its record says {100 * told:.2f} % and its completions {100 * found:.2f} %: one of them was changed. "
            "Delete the record and run the study again."
        )


def _aligned(by_item: dict[str, tuple[str, float]], items: dict[str, str], name: str) -> np.ndarray:
    if by_item.keys() != items.keys():
        missing = len(items.keys() - by_item.keys())
        raise RunError(
            f"{name} was scored on other items than the untrained model ({missing} are missing): not comparable."
        )
    return np.array([by_item[key][1] for key in items])


def _arm_row(name: str, record: dict[str, Any], accuracy: Interval, difference: Interval | None) -> Row:
    return Row(name=name, is_trained=False, is_control=False, accuracy=accuracy, difference=difference, flops=0.0,
               seconds=0.0, flops_from_nothing=0.0, unspent=0.0, seeds=1,
               median=accuracy.estimate, outcomes={}, **_shown([record["score"]]))  # fmt: skip


def _run_row(
    name: str,
    records: list[dict[str, Any]],
    accuracy: Interval,
    difference: Interval | None,
    *,
    is_control: bool,
    chosen_flops: float,
) -> Row:
    outcomes = [record["outcome"] for record in records]
    stops, whole = [_stop(record) for record in records], [_flops(record) for record in records]
    costs = [spent - stop["unspent_flops"] for spent, stop in zip(whole, stops, strict=True)]
    known = [spent + stop["flops"] + chosen_flops for spent, stop in zip(whole, stops, strict=True)]
    seconds = [sum(stage["seconds"] for stage in record["stages"]) for record in records]
    return Row(name=name, is_trained=True, is_control=is_control, accuracy=accuracy, difference=difference,
               flops=float(np.mean(costs)), flops_from_nothing=float(np.mean(known)),
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


def _read(directory: Path, names: tuple[str, ...]) -> dict[str, Any]:
    records = {name: _read_one(directory / f"{name}.json") for name in names}
    return {name: record for name, record in records.items() if record is not None}


def _read_one(path: Path) -> Any:
    return read_record(path) if path.exists() else None
