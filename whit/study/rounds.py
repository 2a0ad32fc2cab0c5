"""What is chosen on dev before the test is opened: learning rates by short trials, then finalists by one run each.

Every pipeline gets the same trials, and what they cost is charged to it and shown. The runs of these rounds are never
tested: finalists are drawn again with other seeds.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from statistics import NormalDist
from typing import Any

from whit.core.errors import WhitError
from whit.core.files import read_record
from whit.core.ledger import Ledger
from whit.core.rundir import write_beside
from whit.recipes.pipeline import Site, fingerprint, lost, made, run_pipeline
from whit.recipes.recipe import Recipe
from whit.recipes.scoring import score
from whit.recipes.stop import stop_on_dev
from whit.study.jobs import Job
from whit.study.study import QUALIFYING_SEED, TRIAL_SEED, Study

Json = dict[str, Any]


def trial_jobs(study: Study) -> list[Job]:
    """Every pipeline with every learning rate, but for the controls that take another's."""
    return [
        Job(f"trial-{spec.name}-{factor:g}", "trial", spec.name, TRIAL_SEED, len(spec.stage), factor=factor)
        for factor in study.trials
        for spec in study.tried
    ]


def qualifying_jobs(study: Study) -> list[Job]:
    """One whole run of every candidate, where not all of them go on."""
    if study.finalists is None or len(study.candidates) <= study.finalists:
        return []
    return [
        Job(f"qualify-{spec.name}", "qualify", spec.name, QUALIFYING_SEED, len(spec.stage)) for spec in study.candidates
    ]


def recipe_of(job: Job, study: Study) -> Recipe:
    """The recipe of a job of these rounds."""
    return study.trial(job.name, job.factor) if job.kind == "trial" else study.recipe(job.name, QUALIFYING_SEED)


def record_of(job: Job, directory: Path) -> Path:
    """Where a job of these rounds is recorded."""
    return directory / "rounds" / f"{job.id}.json"


def on_dev(job: Job, study: Study, directory: Path, site: Site) -> Json:
    """Run a job of these rounds and record its dev accuracy. A failure is recorded with accuracy 0: it is no choice."""
    recipe = recipe_of(job, study)
    record: Json = {
        "name": job.name,
        "factor": job.factor,
        "items": study.dev_items,
        "fingerprint": fingerprint(recipe),
        "flops": 0.0,
        "seconds": 0.0,
    }
    try:
        artifacts = run_pipeline(recipe, site)
        model, stopped = stop_on_dev(artifacts[-1], recipe, site) if recipe.stop else (artifacts[-1], None)
        asked = recipe.evaluate.model_copy(update={"items": study.dev_items})
        scored = score(model, recipe.model_copy(update={"evaluate": asked}), site, samples=0, split="dev")
        accuracy, error = scored.summary["greedy_accuracy"], ""
        ledgers = [Ledger.from_plain(a.facts()["ledger"]) for a in made(recipe, artifacts)]
        ledgers.append(Ledger.from_plain(scored.ledger))
        record |= {
            "flops": sum(x.flops for x in ledgers),
            "seconds": sum(x.seconds for x in ledgers),
            "stopped": stopped,
        }
    except WhitError as problem:
        if problem.exit_code == 2:  # wrong as written: not an outcome
            raise
        accuracy, error = [0.0, 0.0, 0.0], str(problem)
        found = run_pipeline(recipe, site, only_found=True)
        ledgers, last = [Ledger.from_plain(a.facts()["ledger"]) for a in made(recipe, found)], lost(recipe, site, found)
        record["flops"] = sum(x.flops for x in ledgers) + last["flops"]
        record["seconds"] = sum(x.seconds for x in ledgers) + last["seconds"]
    record |= {"accuracy": accuracy, "error": error}
    write_beside(record_of(job, directory), json.dumps(record, indent=1))
    return {"outcome": "failed" if error else "finished", "accuracy": accuracy, "error": error}


def with_rates(study: Study, directory: Path) -> tuple[Study, Json]:
    """The study with learning rates that dev prefers to the pipeline's own by more than noise; and what was seen."""
    if not study.trials:
        return study, {}
    seen: dict[str, dict[float, Json]] = {}
    for job in trial_jobs(study):
        seen.setdefault(job.name, {})[job.factor] = read_record(record_of(job, directory))
    chosen = {name: _rate(rows) for name, rows in seen.items()}
    pipelines = tuple(
        spec.model_copy(update={"lr_factor": chosen[spec.control_of or spec.name]}) for spec in study.pipeline
    )
    told = {
        name: {
            "factor": chosen[name], "dev": {f"{factor:g}": row["accuracy"][0] for factor, row in rows.items()},
            "flops": sum(row["flops"] for row in rows.values()), "seconds": sum(row["seconds"] for row in rows.values()),
        }
        for name, rows in seen.items()
    }  # fmt: skip
    return study.model_copy(update={"pipeline": pipelines}), told


def _rate(rows: Mapping[float, Json]) -> float:
    """The factor nearest to 1 among those within a standard error of the best: short trials of few items tell no more.

    Source: docs/results/distillation-micro.md, where the best of three was worse by four points over the whole budget.
    """
    best, low, high = max((row["accuracy"] for row in rows.values()), key=lambda accuracy: accuracy[0])
    error = (high - low) / (2 * NormalDist().inv_cdf(0.975))
    close = [factor for factor, row in rows.items() if row["accuracy"][0] >= best - error]
    return min(close, key=lambda factor: (max(factor, 1 / factor), -rows[factor]["accuracy"][0]))


def with_finalists(study: Study, directory: Path) -> tuple[Study, Json]:
    """The study with the candidates that did best on dev, and its controls; and what was seen of each candidate."""
    seen = {job.name: read_record(record_of(job, directory)) for job in qualifying_jobs(study)}
    if not seen:
        return study, {}
    order = sorted(seen, key=lambda name: -seen[name]["accuracy"][0])
    stay = set(order[: study.finalists])
    stay |= {s.name for s in study.pipeline if s.control and (s.control_of is None or s.control_of in stay)}
    told = {
        name: {
            "accuracy": row["accuracy"], "goes_on": name in stay, "flops": row["flops"], "seconds": row["seconds"],
            "error": row["error"],
        }
        for name, row in seen.items()
    }  # fmt: skip
    pipelines = tuple(spec for spec in study.pipeline if spec.name in stay)
    return study.model_copy(update={"pipeline": pipelines}), told
