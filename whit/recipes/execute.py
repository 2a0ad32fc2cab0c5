"""One pipeline, one seed, from start to score, in a run directory that says how it went.

A collapse or a failure is an outcome, not an interruption: what the pipeline had reached is scored and recorded.
"""

import json
import traceback
from pathlib import Path
from typing import Any

from whit.core.errors import UsageError, WhitError
from whit.core.ledger import Ledger
from whit.core.rundir import write_beside
from whit.core.settings import write_toml
from whit.core.types import Artifact
from whit.recipes.pipeline import Site, run_pipeline, start_artifact
from whit.recipes.recipe import Recipe
from whit.recipes.scoring import score


def execute(recipe: Recipe, site: Site, directory: Path) -> dict[str, Any]:
    """Train, score and record. Returns what `run.json` holds.

    outcome: "finished"; "collapsed" when a stage stopped at a loss that was not finite; "failed" when one raised.
    A failed or collapsed run keeps the score of its last artifact: the start model's when there is none.
    Errors of usage are not outcomes: they are raised.
    """
    write_beside(directory / "recipe.toml", write_toml(recipe.resolved()))
    artifacts: list[Artifact] = []
    outcome, error = "finished", ""
    try:
        artifacts = run_pipeline(recipe, site)
    except UsageError:
        raise
    except (WhitError, RuntimeError, MemoryError) as failure:
        outcome, error = "failed", f"{type(failure).__name__}: {failure}"
        write_beside(directory / "traceback.txt", traceback.format_exc())
        artifacts = _finished(recipe, site)
    records = [artifact.facts() for artifact in artifacts if artifact.facts()]
    collapses = [record["outcome"]["collapsed"] for record in records if record["outcome"].get("collapsed")]
    if collapses and outcome == "finished":
        outcome, error = "collapsed", collapses[0]
    scored = score(artifacts[-1], recipe, site) if recipe.task is not None else None
    run = {
        "name": recipe.name, "seed": recipe.seed, "outcome": outcome, "error": error,
        "model": str(artifacts[-1].path) if artifacts else "",
        "stages": [_stage(artifact) for artifact in artifacts if artifact.facts()],
        "score": scored.summary if scored else None, "score_path": scored.path if scored else "",
        "evaluation": scored.ledger if scored else None,
    }  # fmt: skip
    write_beside(directory / "run.json", json.dumps(run, indent=1))
    return run


def _finished(recipe: Recipe, site: Site) -> list[Artifact]:
    """The artifacts that a failed pipeline has: its longest finished prefix."""
    for depth in range(len(recipe.stage) - 1, 0, -1):
        try:
            return run_pipeline(recipe, site, depth)
        except (WhitError, RuntimeError, MemoryError):
            continue
    start = start_artifact(recipe)
    return [start] if start else []


def _stage(artifact: Artifact) -> dict[str, Any]:
    facts = artifact.facts()
    ledger = Ledger.from_plain(facts["ledger"])
    return {
        "kind": facts["facts"]["stage"], "key": artifact.key, "path": str(artifact.path), "flops": ledger.flops,
        "seconds": ledger.seconds, "accounts": facts["ledger"]["accounts"], "outcome": facts["outcome"],
    }  # fmt: skip
