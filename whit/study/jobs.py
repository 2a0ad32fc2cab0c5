"""A study as jobs with dependencies: a prefix that several pipelines share is one job, and is run once."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from whit.core.settings import to_plain
from whit.study.study import Study


@dataclass(frozen=True)
class Job:
    """One piece of work for a worker.

    kind "prefix" trains the first `depth` stages; "run" trains what is left, scores and records; "arm" scores the start
    model; "trial" tries a learning rate, of `factor` times the pipeline's own, and "qualify" runs a whole pipeline once:
    both are scored on dev alone. after: ids of the jobs that must end first, well or badly.
    failure: what ended the worker that had this run before: it is recorded, not tried again.
    """

    id: str
    kind: str
    name: str
    seed: int = 0
    depth: int = 0
    after: tuple[str, ...] = ()
    failure: str = ""
    factor: float = 1.0

    def to_plain(self) -> dict[str, Any]:
        return asdict(self)


def plan_jobs(study: Study) -> list[Job]:
    """Arms first (a first row soon), then seed by seed, so that an interrupted study has whole seeds."""
    jobs = [Job(f"arm-{arm}", "arm", arm) for arm in study.arms]
    owners: dict[str, str] = {}
    for spec, seed in study.runs():
        before: tuple[str, ...] = ()
        recipe = study.recipe(spec.name, seed)
        for depth in range(1, len(spec.stage)):
            key = json.dumps(
                [seed, recipe.shares[:depth], [to_plain(dict(s)) for s in spec.stage[:depth]]], sort_keys=True
            )
            if key not in owners:
                owners[key] = f"prefix-{spec.name}-{depth}-{seed}"
                jobs.append(Job(owners[key], "prefix", spec.name, seed, depth, before))
            before = (owners[key],)
        own = json.dumps([seed, recipe.shares, [to_plain(dict(s)) for s in spec.stage]], sort_keys=True)
        jobs.append(Job(f"run-{spec.name}-{seed}", "run", spec.name, seed, len(spec.stage), before))
        owners.setdefault(own, f"run-{spec.name}-{seed}")
    return jobs


def run_directory(root: Path, pipeline: str, seed: int) -> Path:
    """Where a run of a study is recorded."""
    return root / "runs" / f"{pipeline}-seed{seed}"
