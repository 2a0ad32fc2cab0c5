"""Runs that no study planned, side by side: one directory a run, whatever made them.

They are compared as a study's are, paired by item, but to the first pipeline that is named, and nothing is recommended:
budgets may differ, and nobody said beforehand what would be compared.
"""

import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from whit.core.errors import RunError, UsageError
from whit.core.files import made_beside, read_record
from whit.core.seeds import key64
from whit.core.settings import read_toml, write_toml
from whit.stats.intervals import seed_means
from whit.stats.paired import compare_to_reference
from whit.study.compare import Leaderboard
from whit.study.openings import openings
from whit.study.records import Row, aligned, item_scores, one_protocol, run_row
from whit.study.verdict import Verdict

JUDGED_BY = ("task", "template", "max_new_tokens", "evaluate")
Json = dict[str, Any]
Runs = dict[str, tuple[Path, Json]]
"""Directory and record of a run by its label, such as "sft-seed0"."""


def read_runs(directories: Sequence[Path]) -> Runs:
    """The runs of these directories, labelled "pipeline-seedN".

    Runs are seeds of one pipeline where their recipes agree in everything but name and seed. It is called like its recipe;
    where two pipelines have one name, a hash of the recipe stands behind it.
    Raises UsageError for a directory that holds no run and for one seed twice, and RunError for a run that was not scored
    or is another version's.
    """
    records = {directory.resolve(): _record(directory) for directory in directories}
    recipes = {directory: _recipe(directory) for directory in records}
    names = {recipes[directory]: _name(record) for directory, record in records.items()}
    runs: Runs = {}
    for directory, record in records.items():
        recipe, name = recipes[directory], names[recipes[directory]]
        if list(names.values()).count(name) > 1:
            name = f"{name}-{key64(recipe) % 16**4:04x}"
        label = f"{name}-seed{record['seed']}"
        if label in runs:
            raise UsageError(f"{runs[label][0]} and {directory} are one recipe and one seed: leave one of them out.")
        runs[label] = (directory, record)
    return runs


def compare_runs(runs: Runs) -> Leaderboard:
    """A leaderboard of loose runs. Raises RunError when they were judged by different protocols or on other items."""
    records = {label: record for label, (_, record) in runs.items()}
    _check_alike(runs)
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


def _check_alike(runs: Runs) -> None:
    """Raises RunError that names what the runs were judged by and differ in, such as the task."""
    recipes = [read_toml(directory / "recipe.toml") for directory, _ in runs.values()]
    for name in JUDGED_BY:
        found = {json.dumps(recipe.get(name), sort_keys=True): recipe.get(name) for recipe in recipes}
        if len(found) > 1:
            told = ", ".join("not set" if value is None else str(value) for value in found.values())
            raise RunError(f"these runs differ in {name} ({told}), so they cannot be compared. Report each alone.")


def _sentence(num_pipelines: int, has_seeds: bool) -> str:
    if num_pipelines == 1:
        return "One pipeline: nothing to compare it with."
    if not has_seeds:
        return "One seed of each cannot decide: the luck of a training is unknown. Run more seeds, or a study."
    return "These runs were not planned as a study: their budgets may differ, and nothing is recommended."


def _record(directory: Path) -> Json:
    file = directory / "run.json"
    if missing := [name for name in ("run.json", "recipe.toml") if not (directory / name).exists()]:
        if missing == ["run.json"]:
            raise UsageError(f"{directory} holds no run.json: its run has not ended. Run the same command again.")
        raise UsageError(
            f"{directory} holds no {' and no '.join(missing)}: give directories of runs, or the directory of a study."
        )
    record = read_record(file)
    needed = ("name", "seed", "outcome", "error", "stages", "score", "score_path", "protocol")
    if missing := [key for key in needed if key not in record]:
        raise RunError(f"{file} was written by another version of whit (no {missing[0]}): run it again, then report.")
    if not record["score"]:
        raise RunError(f"{directory}: this run was not scored ({record['error'] or record['outcome']}).")
    return record


def _recipe(directory: Path) -> str:
    """What is the same for all seeds of a pipeline."""
    recipe = read_toml(directory / "recipe.toml")
    return write_toml({key: value for key, value in recipe.items() if key not in ("name", "seed")})


def _name(record: Json) -> str:
    return str(record["name"]).removesuffix(f"-seed{record['seed']}")


def _scores(directory: Path, record: Json) -> Path:
    place = made_beside(directory / "run.json", record["score_path"])
    if place is None:
        raise RunError(f"{directory}: its completions, {record['score_path']}, are not there. Run it again.")
    return place


def described(runs: Runs) -> Json:
    """What the runs have in common, in the words of a study.toml: models, tasks, the largest ceiling, seeds of a row."""
    recipes = [read_toml(directory / "recipe.toml") for directory, _ in runs.values()]
    seeds = sorted(Counter(label.rpartition("-seed")[0] for label in runs).values())
    tasks = {task if isinstance(task, str) else task["name"] for recipe in recipes for task in [recipe["task"]]}
    return {
        "name": "runs", "model": _joined({recipe.get("model") or "a model from nothing" for recipe in recipes}),
        "task": _joined(tasks), "flops": max((recipe.get("budget", {}).get("flops") or 0.0) for recipe in recipes),
        "seeds": seeds[0] if seeds[0] == seeds[-1] else f"{seeds[0]} to {seeds[-1]}",
    }  # fmt: skip


def _joined(names: set[str]) -> str:
    return ", ".join(sorted(Path(name).name for name in names))
