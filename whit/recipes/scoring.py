"""The score of a model on a task as an artifact of its own: found by content key, or made now."""

import json
from importlib.metadata import version
from typing import Any, Literal

from whit.analysis.elsewhere import PANEL, elsewhere
from whit.core.files import read_record
from whit.core.ledger import Ledger
from whit.core.rundir import Facts, Run, code_digest, digest_of, write_beside
from whit.core.seeds import key64
from whit.core.settings import Frozen
from whit.core.types import Artifact, Split
from whit.recipes.pipeline import Site, resolve_dtype, task_modules
from whit.recipes.recipe import Recipe
from whit.stages._score import score_model
from whit.stages._task import task_digest

Way = Literal["zero_shot", "few_shot"]
PROTOCOL = "whit-1"
"""Three splits apart by group; zero-shot prompts in the model's own template; samples at temperature 0.6, top-p 0.95, and
one greedy; lenient extraction decides; operations by shape; crossed random effects with simultaneous intervals."""


class Score(Frozen):
    """Where an evaluation is and what it says."""

    path: str
    summary: dict[str, Any]
    ledger: dict[str, Any]


def protocol(recipe: Recipe) -> str:
    """The name and a hash of how a recipe's models are judged. Scores of different protocols are not comparable."""
    facts = {
        "task": recipe.task, "data": task_digest(recipe.task) if recipe.task else "", "template": recipe.template,
        "max_new_tokens": recipe.max_new_tokens, "evaluate": recipe.evaluate.model_dump(),
        "code": code_digest(["whit.stages._score", "whit.stats.paired", "whit.core.flops", *task_modules(recipe.task)]),
    }  # fmt: skip
    return f"{PROTOCOL}:{key64(*facts.items()):016x}"


def score(
    artifact: Artifact, recipe: Recipe, site: Site, *, samples: int | None = None, way: Way = "zero_shot",
    split: Split | None = None,
) -> Score:  # fmt: skip
    """Evaluate an artifact as the recipe says, or find that it was done."""
    wanted = recipe.evaluate
    chosen: Split = split or wanted.split
    count = wanted.samples if samples is None else samples
    settings = {
        "task": recipe.task, "template": recipe.template, "max_new_tokens": recipe.max_new_tokens, "way": way,
        "split": chosen, "items": wanted.items, "samples": count,
    }  # fmt: skip
    inputs = {"model": artifact.key, "task": task_digest(recipe.task) if recipe.task else ""}
    facts = Facts(
        stage="evaluate", settings=settings, inputs=inputs, seed=0, limit_flops=None,
        code=code_digest(["whit.stages._score", *task_modules(recipe.task)]),
        dtype=resolve_dtype(recipe, site.device), device=site.device, torch=version("torch"),
    )  # fmt: skip
    found = site.store.find(facts.key())
    if found is None:
        with site.store.workplace(facts) as directory:
            run = Run(
                directory=directory, facts=facts, ledger=Ledger(), task=recipe.task, template=recipe.template,
                max_new_tokens=recipe.max_new_tokens, dtype=facts.dtype, device=site.device, notify=site.notify,
            )  # fmt: skip
            found = score_model(artifact, run, split=chosen, items=wanted.items, samples=count, way=way)
    summary = read_record(found.path / "summary.json")
    return Score(path=str(found.path), summary=summary, ledger=found.facts()["ledger"])


def score_elsewhere(artifact: Artifact, recipe: Recipe, site: Site) -> dict[str, Any]:
    """What a model does on a small fixed panel off the task (`analysis.elsewhere`), or what was found before."""
    facts = Facts(
        stage="elsewhere", settings={"template": recipe.template},
        inputs={"model": artifact.key, "panel": digest_of(PANEL)}, seed=0, limit_flops=None,
        code=code_digest(["whit.analysis.elsewhere"]), dtype=resolve_dtype(recipe, site.device), device=site.device,
        torch=version("torch"),
    )  # fmt: skip
    found = site.store.find(facts.key())
    if found is None:
        with site.store.workplace(facts) as directory:
            run = Run(directory=directory, facts=facts, ledger=Ledger(), template=recipe.template, dtype=facts.dtype,
                      device=site.device, notify=site.notify)  # fmt: skip
            measured = elsewhere(artifact.path, dtype=run.dtype, device=run.device, template=run.template)
            write_beside(directory / "elsewhere.json", json.dumps(measured, indent=1))
            found = run.save(lambda _: None)
    return read_record(found.path / "elsewhere.json")
