"""Runs that no study planned, side by side: one directory a run, whatever made them.

They are compared as a study's are, paired by item, but to the first pipeline that is named, and nothing is recommended:
budgets may differ, and nobody said beforehand what would be compared.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from whit.core.errors import RunError, UsageError
from whit.core.files import made_beside, read_record
from whit.core.settings import read_toml
from whit.stats.intervals import seed_means
from whit.stats.paired import compare_to_reference
from whit.study.compare import Leaderboard
from whit.study.openings import openings
from whit.study.records import Row, aligned, item_scores, one_protocol, run_row
from whit.study.verdict import Verdict

Runs = dict[str, tuple[Path, dict[str, Any]]]
"""Directory and record of a run by its label, such as "sft-seed0"."""


def read_runs(directories: Sequence[Path]) -> Runs:
    """The runs of these directories, labelled by recipe and seed; by directory where two would have one label.

    Raises UsageError for a directory that holds no run, and RunError for a run that was not scored or is an older whit's.
    """
    found = [(directory, _record(directory)) for directory in dict.fromkeys(directories)]
    labels = [f"{_pipeline(record)}-seed{record['seed']}" for _, record in found]
    return {
        label if labels.count(label) == 1 else f"{directory.name}-seed{record['seed']}": (directory, record)
        for label, (directory, record) in zip(labels, found, strict=True)
    }


def compare_runs(runs: Runs) -> Leaderboard:
    """A leaderboard of loose runs. Raises RunError when they were judged by different protocols or on other items."""
    records = {label: record for label, (_, record) in runs.items()}
    protocol = one_protocol(", ".join(str(directory) for directory, _ in runs.values()), list(records.values()))
    by_label = {label: item_scores(label, record, _scores(*runs[label])) for label, record in records.items()}
    first, items = next(iter(by_label.items()))
    groups = [group for group, _ in items.values()]
    by_pipeline: dict[str, list[str]] = {}
    for label in runs:
        by_pipeline.setdefault(label.rpartition("-seed")[0], []).append(label)
    scores = {
        name: np.stack([aligned(label, by_label[label], items, first) for label in labels])
        for name, labels in by_pipeline.items()
    }
    reference = next(iter(scores))
    # Without a second seed of anything, how much a training varies is unknown: intervals then cover the items alone.
    has_seeds = any(len(rows) > 1 for rows in scores.values())
    means = seed_means(scores, groups, fixed=set() if has_seeds else set(scores))
    family = compare_to_reference(scores, groups, reference, fixed=set()) if has_seeds and len(scores) > 1 else ()
    differences = {row.a: row.difference for row in family}
    rows: list[Row] = [
        run_row(name, [records[label] for label in labels], means[name], differences.get(name),
                is_control=False, chosen_flops=0.0)
        for name, labels in by_pipeline.items()
    ]  # fmt: skip
    looks, other_looks = openings([_scores(*run) for run in runs.values()])
    return Leaderboard(
        rows=tuple(sorted(rows, key=lambda row: -row.accuracy.estimate)), reference=reference, failures={}, best=None,
        best_run=None, chosen_on="", verdict=Verdict((), None, _sentence(len(scores), has_seeds)), protocol=protocol,
        rates={}, qualified={}, looks=looks, other_looks=other_looks, num_items=len(groups),
        num_samples=int(next(iter(records.values()))["score"].get("num_samples", 1)), complete=True,
    )  # fmt: skip


def _sentence(num_pipelines: int, has_seeds: bool) -> str:
    if num_pipelines == 1:
        return "One pipeline: nothing to compare it with."
    if not has_seeds:
        return "One seed of each cannot decide: the luck of a training is unknown. Run more seeds, or a study."
    return "These runs were not planned as a study: their budgets may differ, and nothing is recommended."


def _record(directory: Path) -> dict[str, Any]:
    file = directory / "run.json"
    if not file.exists():
        raise UsageError(f"{directory} holds no run.json: give directories of runs, or the directory of a study.")
    record = read_record(file)
    if missing := [key for key in ("score_path", "protocol", "stages", "outcome") if key not in record]:
        raise RunError(f"{file} was written by another version of whit (no {missing[0]}): run it again, then report.")
    if not record["score"]:
        raise RunError(f"{directory}: this run was not scored ({record['error'] or record['outcome']}).")
    return record


def _pipeline(record: dict[str, Any]) -> str:
    return str(record["name"]).removesuffix(f"-seed{record['seed']}")


def _scores(directory: Path, record: dict[str, Any]) -> Path:
    place = made_beside(directory / "run.json", record["score_path"])
    if place is None:
        raise RunError(f"{directory}: its completions, {record['score_path']}, are not there. Run it again.")
    return place


def described(runs: Runs) -> dict[str, Any]:
    """What the runs have in common, in the words of a study.toml: model, task, the largest ceiling, seeds."""
    recipes = [read_toml(directory / "recipe.toml") for directory, _ in runs.values()]
    return {
        "name": "runs", "model": recipes[0].get("model") or "none", "task": recipes[0]["task"],
        "flops": max((recipe.get("budget", {}).get("flops") or 0.0) for recipe in recipes),
        "seeds": len({record["seed"] for _, record in runs.values()}),
    }  # fmt: skip
