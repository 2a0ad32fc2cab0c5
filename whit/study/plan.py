"""What a recipe or a study will cost, from its model's config and a quick measure of this machine; loads no weights."""

from typing import Any

from whit.core.errors import BudgetError, RecipeError
from whit.core.flops import Shape
from whit.recipes.machine import Rates, model_shape, peak_rate
from whit.recipes.recipe import Recipe
from whit.study.grid import estimate, unique_flops
from whit.study.jobs import plan_jobs
from whit.study.resources import choose_workers, run_memory
from whit.study.study import Study

EFFICIENCY = {"train": 0.5, "sample": 0.25}  # of the machine's matrix products, as measured on the two real models


def describe_recipe(recipe: Recipe) -> dict[str, Any]:
    """Stages with their operations and seconds, and the peak memory of the largest."""
    starts_from_nothing = recipe.stage[0].kind == "pretrain"
    if recipe.model is None and not starts_from_nothing:
        raise RecipeError("model: this setting is needed and was not given. Add model=DIR, a nickname or a hub name.")
    if recipe.budget.flops is None and recipe.budget.hours is None and not starts_from_nothing:
        raise BudgetError("budget: this recipe names none. Add budget.hours=1 or budget.flops=1e15.")
    shape = model_shape(recipe) if recipe.model else None
    rates = quick_rates(shape)
    flops = recipe.budget.flops or (recipe.budget.hours or 0.0) * 3600 * rates.train
    stages = [
        {"name": f"stage {number} ({stage.kind})", "flops": flops * share, "seconds": flops * share / rates.train}
        for number, (stage, share) in enumerate(zip(recipe.stage, recipe.shares, strict=True), 1)
    ]
    notes = [] if flops else ["pretrain ends after its steps; what they cost is known when the first batch is drawn"]
    return {
        "stages": stages, "notes": notes, "flops": flops, "seconds": sum(s["seconds"] for s in stages),
        "memory_bytes": run_memory(shape) if shape else 0.0,
    }  # fmt: skip


def describe_study(study: Study) -> dict[str, Any]:
    """Every pipeline's ceiling, the arms, and what the whole takes with its workers."""
    shape = model_shape(study.start())
    workers = choose_workers(study.workers, shape)
    rates = quick_rates(shape)
    cost = estimate(study, rates, shape, study.evaluate.items or 500, workers)
    stages = [
        {
            "name": f"{spec.name} x {study.seeds}",
            "flops": study.flops * study.seeds,
            "seconds": study.flops * study.seeds / rates.train,
        }
        for spec in study.pipeline
    ]
    shared = study.flops * study.seeds * len(study.pipeline) - sum(flops for _, flops in unique_flops(study))
    notes = [
        f"arms that train nothing: {', '.join(study.arms)}",
        f"{len(plan_jobs(study))} jobs on {workers} workers; shared prefixes save {shared:.3g} FLOPs",
        *study.notes,
    ]
    return {
        "stages": stages,
        "notes": notes,
        "flops": cost.flops,
        "seconds": cost.seconds,
        "memory_bytes": cost.memory_bytes,
    }


def quick_rates(shape: Shape | None) -> Rates:
    """Rates from a second of matrix products at the model's width: an estimate before anything is loaded."""
    peak = peak_rate(shape.width if shape else 128)
    return Rates(EFFICIENCY["train"] * peak, EFFICIENCY["sample"] * peak, 100.0, 100.0)
