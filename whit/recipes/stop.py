"""Stopping on dev: the budget is a ceiling, and a pipeline ends where its dev split says.

The last stage keeps its weights at a few shares of its budget, and each is asked the same dev items greedily. An earlier
time is taken where it does better than the whole budget by more than a standard error: of several the best, of equal ones
the earliest. What the choice costs is charged to the pipeline and shown.
"""

import json
import math
import shutil
from pathlib import Path
from typing import Any

from whit.core.errors import DataError
from whit.core.files import read_record
from whit.core.ledger import Ledger
from whit.core.rundir import snapshot, write_beside
from whit.core.types import Artifact
from whit.recipes.pipeline import Site
from whit.recipes.recipe import Recipe, StopSpec
from whit.recipes.scoring import score

LEAST_ITEMS = 50  # of dev: with fewer, chance would choose
WHOLE = "1"


def stop_on_dev(last: Artifact, recipe: Recipe, site: Site) -> tuple[Artifact, dict[str, Any]]:
    """The artifact to go on with, and a record: where it stopped, dev accuracy by share (lenient and strict), what was
    left, what it cost.

    The weights that are not taken are deleted, but for the last ones.
    """
    assert recipe.stop is not None
    file = last.path / "stopped.json"
    if not file.exists():
        record = _choose(last, recipe, recipe.stop, site)
        write_beside(file, json.dumps(record, indent=1))
    record = read_record(file)
    for share in recipe.stop.at:
        if f"{share:g}" != record["share"]:
            shutil.rmtree(snapshot(last.path, share), ignore_errors=True)
    if record["share"] == WHOLE:
        return last, record
    return _at(last, snapshot(last.path, float(record["share"]))), record


def _choose(last: Artifact, recipe: Recipe, stop: StopSpec, site: Site) -> dict[str, Any]:
    kept = {f"{share:g}": snapshot(last.path, share) for share in sorted(stop.at)}
    times = {share: _at(last, path) for share, path in kept.items() if (path / "snapshot.json").exists()}
    times[WHOLE] = last
    spent = Ledger.from_plain(last.facts()["ledger"]).flops
    record: dict[str, Any] = {"share": WHOLE, "dev": {}, "dev_strict": {}, "unspent_flops": 0.0, "note": ""}
    record |= {"flops": 0.0, "seconds": 0.0}
    asked = recipe.model_copy(update={"evaluate": recipe.evaluate.model_copy(update={"items": stop.items})})
    for share, artifact in times.items():
        try:
            scored = score(artifact, asked, site, samples=0, split="dev")
        except DataError as error:
            return {**record, "note": f"nothing was chosen: {error}"}
        if scored.summary["num_items"] < LEAST_ITEMS:
            few = scored.summary["num_items"]
            return {**record, "note": f"nothing was chosen: {few} dev items are too few, {LEAST_ITEMS} are needed"}
        ledger = Ledger.from_plain(scored.ledger)
        record["dev"][share] = scored.summary["greedy_accuracy"][0]
        record["dev_strict"][share] = scored.summary["greedy_strict"][0]
        record["flops"] += ledger.flops
        record["seconds"] += ledger.seconds
    best = max(times, key=lambda share: record["dev"][share])  # the first of equal ones
    standard_error = math.sqrt(record["dev"][best] * (1 - record["dev"][best]) / scored.summary["num_items"])
    if record["dev"][best] - record["dev"][WHOLE] > standard_error:
        record["share"] = best
    if record["share"] != WHOLE:
        record["unspent_flops"] = spent - read_record(kept[record["share"]] / "snapshot.json")["flops"]
    return record


def _at(last: Artifact, path: Path) -> Artifact:
    return Artifact(path, f"{last.key}-{path.name.rpartition('-')[2]}")
