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
from whit.core.types import Interval
from whit.stats.intervals import seed_means
from whit.stats.paired import compare as compare_pairs
from whit.stats.paired import compare_to_reference
from whit.study.openings import openings
from whit.study.records import (
    Items,
    Row,
    aligned,
    arm_row,
    item_scores,
    one_protocol,
    read_all,
    read_one,
    run_row,
    spent_flops,
    spent_seconds,
    stop_of,
)
from whit.study.study import PipelineSpec, Study
from whit.study.verdict import Candidate, Verdict, decide

REFERENCE = "zero_shot"


@dataclass(frozen=True)
class Leaderboard:
    """Rows, best first; reference names the one that the others' differences are to.

    best: the trained row that the verdict recommends, else the one with the highest mean; None when nothing was trained.
    best_run: its best seed on dev; on the test items where runs do not stop on dev. chosen_on: which of the two.
    failures: arms that could not be scored, with the reason. protocol: name and hash of how all of them were judged.
    looks, other_looks: models that were scored on the test split, by this study and beside it.
    """

    rows: tuple[Row, ...]
    reference: str
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
    asked = read_all(directory / "arms", study.arms)
    arms = {name: record for name, record in asked.items() if "score" in record}
    runs = {
        (spec.name, seed): record
        for spec, seed in study.runs()
        if (record := read_one(directory / "runs" / f"{spec.name}-seed{seed}" / "run.json")) is not None
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
    protocol = one_protocol(directory, [*arms.values(), *runs.values()])
    groups, scores = _matrices(study, arms, runs)
    # Without a second seed of anything, how much a training varies is unknown: intervals then cover the items alone.
    has_seeds = any(len(rows) > 1 for rows in scores.values())
    means = seed_means(scores, groups, fixed=set(arms) if has_seeds else set(scores))
    compared = scores if has_seeds else {name: scores[name] for name in arms}
    family = compare_to_reference(compared, groups, REFERENCE, fixed=set(arms)) if len(compared) > 1 else ()
    differences = {row.a: row.difference for row in family}
    rows = [arm_row(name, record, means[name], differences.get(name)) for name, record in arms.items()]
    for spec in study.pipeline:
        own = [record for (name, _), record in runs.items() if name == spec.name]
        if own:
            choosing = sum(seen.get(spec.name, {}).get("flops", 0.0) for seen in (rates, qualified))
            rows.append(run_row(spec.name, own, means[spec.name], differences.get(spec.name),
                                is_control=spec.control, chosen_flops=choosing))  # fmt: skip
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
    looks, other_looks = openings([Path(record["score_path"]) for record in [*arms.values(), *runs.values()]])
    return Leaderboard(
        rows=tuple(rows), reference=REFERENCE, failures=failures, best=best, best_run=best_run, chosen_on=chosen_on,
        verdict=verdict, protocol=protocol, rates=dict(rates), qualified=dict(qualified), looks=looks,
        other_looks=other_looks, num_items=len(groups), num_samples=study.evaluate.samples, complete=complete,
    )  # fmt: skip


def _candidate(spec: PipelineSpec, records: list[Any], gains: Mapping[str, Interval], ceiling: float) -> Candidate:
    """What a verdict weighs: costs are those of the runs that finished, the ceiling when none did."""
    finished = [record for record in records if record["outcome"] == "finished"]
    flops = [spent_flops(record) - stop_of(record)["unspent_flops"] for record in finished] or [ceiling]
    seconds = [spent_seconds(record) for record in finished] or [math.inf]
    is_sound = len(finished) == len(records)
    return Candidate(gains.get(spec.name), float(np.mean(flops)), float(np.mean(seconds)), len(spec.stage), is_sound)


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


def _matrices(
    study: Study, arms: dict[str, Any], runs: dict[tuple[str, int], Any]
) -> tuple[list[str], dict[str, np.ndarray]]:
    """Per-item scores [S, I] of every row, items in one common order."""
    items: Items = {}
    scores: dict[str, np.ndarray] = {}
    for name, record in arms.items():
        own = item_scores(name, record)
        items = items or own
        scores[name] = aligned(name, own, items, REFERENCE)[None]
    for spec in study.pipeline:
        labels = {f"{name}-seed{seed}": record for (name, seed), record in runs.items() if name == spec.name}
        rows = [aligned(name, item_scores(name, record), items, REFERENCE) for name, record in labels.items()]
        if rows:
            scores[spec.name] = np.stack(rows)
    return [group for group, _ in items.values()], scores
