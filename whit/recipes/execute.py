"""One pipeline, one seed, from start to score, in a run directory that says how it went.

A collapse or a failure is an outcome, not an interruption: what the pipeline had reached is scored and recorded.
"""

import json
import traceback
from contextlib import suppress
from pathlib import Path
from typing import Any

from whit.core.errors import BudgetError, UsageError, WhitError
from whit.core.ledger import Ledger
from whit.core.rundir import write_beside
from whit.core.settings import write_toml
from whit.core.types import Artifact
from whit.recipes.needs import check_ends, check_runs
from whit.recipes.pipeline import NOTHING_LOST, Site, fingerprint, lost, made, run_pipeline
from whit.recipes.preflight import require
from whit.recipes.recipe import Recipe
from whit.recipes.scoring import protocol, score, score_elsewhere
from whit.recipes.stop import WHOLE, stop_on_dev


def execute(recipe: Recipe, site: Site, directory: Path, *, failure: str = "") -> dict[str, Any]:
    """Train, score and record. Returns what `run.json` holds.

    outcome: "finished"; "collapsed" when a stage stopped at a loss that was not finite, its reward fell away or its loss
    rose; "no_signal" when one ended without an update; "failed" when one raised.
    A failed or collapsed run keeps the score of its last artifact: the start model's when there is none.
    failure: what ended an earlier attempt, such as a worker that died: it is recorded, and nothing is trained.
    Raises PreflightError when a check finds that the run would go wrong in silence.
    Errors of usage are not outcomes: they are raised, but for a budget that was too small for a later stage.
    """
    check_runs(recipe)
    check_ends(recipe)
    checks = [] if failure else require(recipe, site)
    is_begun = (directory / "recipe.toml").exists()
    write_beside(directory / "recipe.toml", write_toml(recipe.resolved()))
    artifacts: list[Artifact] = []
    outcome, error = "failed" if failure else "finished", failure
    try:
        artifacts = run_pipeline(recipe, site, only_found=bool(failure))
    except Exception as problem:  # a part may be anybody's code
        if isinstance(problem, UsageError):
            artifacts = run_pipeline(recipe, site, only_found=True) if isinstance(problem, BudgetError) else []
            if not made(recipe, artifacts):
                if not is_begun:
                    _leave_nothing(directory)
                raise
        else:
            write_beside(directory / "traceback.txt", traceback.format_exc())
            artifacts = run_pipeline(recipe, site, only_found=True)
        outcome = "failed"
        error = str(problem) if isinstance(problem, WhitError) else f"{type(problem).__name__}: {problem}"
    records = [artifact.facts() for artifact in made(recipe, artifacts)]
    collapses = [record["outcome"]["collapsed"] for record in records if record["outcome"].get("collapsed")]
    if collapses and outcome == "finished":
        outcome, error = "collapsed", collapses[0]
    idle = [record["facts"]["stage"] for record in records if not record["outcome"].get("updates", 1)]
    if idle and outcome == "finished":
        outcome = "no_signal"
        error = (
            f"stage {idle[0]} made no update: no step had anything to learn from. Look at what is written "
            "(`whit generate MODEL`): raise max_new_tokens where texts are cut off, take a teacher or a start model "
            "that is right more often, or run SFT first. A reward that is the same for right and wrong teaches nothing."
        )
    model = artifacts[-1] if artifacts else None
    stopped = None
    if model and recipe.stop and len(records) == len(recipe.stage):
        model, stopped = stop_on_dev(model, recipe, site)
        if (
            outcome == "collapsed"
            and stopped["share"] != WHOLE
            and collapses == [records[-1]["outcome"].get("collapsed")]
        ):
            outcome, error = "finished", f"after the time that dev chose: {error}"  # what is taken is from before
    scored = score(model, recipe, site) if recipe.task is not None and model else None
    run = {
        "name": recipe.name, "fingerprint": fingerprint(recipe), "protocol": protocol(recipe),
        "checks": [
            *(c.model_dump(include={"check", "status", "message"}) for c in checks if c.status != "ok"),
            *({"check": name, "status": "warning", "message": text}
              for record in records for name, text in record["outcome"].get("warnings", {}).items()),
        ],
        "seed": recipe.seed, "outcome": outcome, "error": error,
        "model": str(model.path) if model else "", "stopped": stopped,
        "lost": lost(recipe, site, artifacts) if outcome == "failed" else NOTHING_LOST,
        "stages": [_stage(artifact) for artifact in made(recipe, artifacts)],
        "elsewhere": score_elsewhere(model, recipe, site) if model and scored else None,
        "score": scored.summary if scored else None, "score_path": scored.path if scored else "",
        "evaluation": scored.ledger if scored else None,
    }  # fmt: skip
    write_beside(directory / "run.json", json.dumps(run, indent=1))
    return run


def _leave_nothing(directory: Path) -> None:
    """Of a run that was refused."""
    (directory / "recipe.toml").unlink(missing_ok=True)
    with suppress(OSError):  # which is there for other reasons, and holds something
        directory.rmdir()


def _stage(artifact: Artifact) -> dict[str, Any]:
    facts = artifact.facts()
    ledger = Ledger.from_plain(facts["ledger"])
    return {
        "kind": facts["facts"]["stage"], "key": artifact.key, "path": str(artifact.path), "flops": ledger.flops,
        "seconds": ledger.seconds, "accounts": facts["ledger"]["accounts"], "outcome": facts["outcome"],
    }  # fmt: skip
