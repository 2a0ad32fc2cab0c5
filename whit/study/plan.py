"""What a recipe or a study will cost, from its model's config and a quick measure of this machine; loads no weights."""

from typing import Any

from whit.core.errors import BudgetError, RecipeError
from whit.core.flops import Shape
from whit.recipes.machine import Rates, flops_in, model_shape, peak_rate, scoring_seconds, training_seconds
from whit.recipes.recipe import Recipe
from whit.study.grid import dearest_start, estimate, smallest_budgets, unique_flops
from whit.study.jobs import plan_jobs
from whit.study.planner import detectable
from whit.study.resources import choose_workers, run_memory
from whit.study.rounds import qualifying_jobs, trial_jobs
from whit.study.study import Study

EFFICIENCY = {"train": 0.5, "sample": 0.25}  # of the machine's matrix products, as measured on the two real models
ITEMS = 500  # scored, where the recipe leaves it to the size of the test split


def describe_recipe(recipe: Recipe) -> dict[str, Any]:
    """Stages with their operations and seconds, and the peak memory of the largest."""
    starts_from_nothing = recipe.stage[0].kind == "pretrain"
    if recipe.model is None and not starts_from_nothing:
        raise RecipeError("model: this setting is needed and was not given. Add model=DIR, a nickname or a hub name.")
    hours = recipe.budget.time_hours
    if recipe.budget.flops is None and hours is None and not starts_from_nothing:
        raise BudgetError("budget: this recipe names none. Add budget.hours=1 or budget.flops=1e15.")
    shape = model_shape(recipe) if recipe.model else None
    rates = quick_rates(shape)
    flops = recipe.budget.flops or flops_in(hours or 0.0, recipe, rates)
    seconds = training_seconds(recipe, flops, rates)
    stages = [
        {"name": f"stage {number} ({stage.kind})", "flops": flops * share, "seconds": each}
        for number, (stage, share, each) in enumerate(zip(recipe.stage, recipe.shares, seconds, strict=True), 1)
    ]
    notes = [] if flops else ["pretrain ends after its steps; what they cost is known when the first batch is drawn"]
    scoring = 0.0
    if shape:
        needs = max(smallest_budgets(recipe, shape, rates))
        notes += [_too_small(flops, needs, "the recipe")] if flops < needs else []
        if recipe.task:
            scoring = scoring_seconds(recipe, shape, recipe.evaluate.items or ITEMS, rates)
    return {
        "stages": stages, "notes": notes, "flops": flops, "seconds": sum(seconds) + scoring, "scoring_seconds": scoring,
        "memory_bytes": run_memory(shape) if shape else 0.0,
    }  # fmt: skip


def describe_study(study: Study) -> dict[str, Any]:
    """Every pipeline's ceiling and seconds, the arms, and what the whole takes with its workers."""
    shape = model_shape(study.start())
    workers = choose_workers(study.workers, shape)
    rates = quick_rates(shape)
    cost = estimate(study, rates, shape, study.evaluate.items or ITEMS, workers)
    stages = [
        {
            "name": f"{spec.name} x {study.seeds}",
            "flops": study.flops * study.seeds,
            "seconds": sum(training_seconds(study.recipe(spec.name, 0), study.flops, rates)) * study.seeds,
        }
        for spec in study.pipeline
    ]
    num_jobs = len(plan_jobs(study)) + len(trial_jobs(study)) + len(qualifying_jobs(study))
    notes = [f"arms that train nothing: {', '.join(study.arms)}", f"{num_jobs} jobs on {workers} workers"]
    if shared := study.flops * study.seeds * len(study.pipeline) - unique_flops(study):
        notes.append(f"first stages that pipelines share run once: {shared:.3g} FLOPs less")
    seen = [detectable(study)] if study.evaluate.items else []  # else it is the size of the test split, not read here
    name, needs = dearest_start(study, shape, rates)
    notes += [_too_small(study.flops, needs, f"'{name}'")] if study.flops < needs else []
    return {
        "stages": stages, "notes": [*notes, *seen, *study.notes], "flops": cost.flops, "seconds": cost.seconds,
        "scoring_seconds": cost.evaluate_seconds / workers, "memory_bytes": cost.memory_bytes,
    }  # fmt: skip


def quick_rates(shape: Shape | None) -> Rates:
    """Rates from a second of matrix products at the model's width: an estimate before anything is loaded."""
    peak = peak_rate(shape.width if shape else 128)
    return Rates(EFFICIENCY["train"] * peak, EFFICIENCY["sample"] * peak, 100.0, 100.0)


def _too_small(flops: float, needs: float, what: str) -> str:
    return f"TOO SMALL: with {flops:.3g} FLOPs not every stage of {what} makes a step; about {needs:.3g} are needed"
