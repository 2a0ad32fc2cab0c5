"""The score of a model on a task as an artifact of its own: found by content key, or made now."""

from importlib.metadata import version
from typing import Any, Literal

from whit.core.files import read_record
from whit.core.ledger import Ledger
from whit.core.rundir import Facts, Run, code_digest
from whit.core.settings import Frozen
from whit.core.types import Artifact, Split
from whit.recipes.pipeline import Site, resolve_dtype, task_modules
from whit.recipes.recipe import Recipe
from whit.stages._score import score_model
from whit.stages._task import task_digest

Way = Literal["zero_shot", "few_shot"]


class Score(Frozen):
    """Where an evaluation is and what it says."""

    path: str
    summary: dict[str, Any]
    ledger: dict[str, Any]


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
