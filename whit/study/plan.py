"""What a recipe or a study will cost, from its model's config and a quick measure of this machine; loads no weights."""

from typing import Any

from whit.core.errors import BudgetError, RecipeError
from whit.core.flops import Shape
from whit.core.parts import find, options
from whit.recipes.machine import Rates, flops_in, model_shape, peak_rate, scoring_seconds, training_seconds
from whit.recipes.needs import scored_items
from whit.recipes.recipe import Recipe
from whit.study.grid import dearest_start, estimate, smallest_budgets, unique_flops
from whit.study.jobs import plan_jobs
from whit.study.planner import detectable
from whit.study.resources import choose_workers, run_memory
from whit.study.rounds import qualifying_jobs, trial_jobs
from whit.study.study import Study

EFFICIENCY = {"train": 0.5, "sample": 0.25}  # of the machine's matrix products, as measured on the two real models
TOKENS = 100  # of a prompt, and at most of a completion, where nothing has been read
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
    rates = quick_rates(shape, recipe.max_new_tokens)
    flops = recipe.budget.flops or flops_in(hours or 0.0, recipe, rates)
    seconds = training_seconds(recipe, flops, rates)
    stages = [
        {"name": f"stage {number} ({stage.kind})", "flops": flops * share, "seconds": each}
        for number, (stage, share, each) in enumerate(zip(recipe.stage, recipe.shares, seconds, strict=True), 1)
    ]
    notes = [] if flops else ["pretrain ends after its steps; what they cost is known when the first batch is drawn"]
    lack = _lack(recipe, flops, shape) if shape else ""
    scoring = 0.0
    if shape and recipe.task:
        scoring = scoring_seconds(recipe, shape, scored_items(recipe, ITEMS), rates)
    return {
        "stages": stages, "notes": [*notes, *filter(None, [lack])], "is_enough": not lack,
        "flops": flops, "seconds": sum(seconds) + scoring, "scoring_seconds": scoring,
        "memory_bytes": run_memory(shape) if shape else 0.0,
    }  # fmt: skip


def require_first_steps(recipe: Recipe) -> None:
    """Raises BudgetError where a plan would say that the recipe's operations are too few for a step of every stage."""
    if recipe.model is None or recipe.budget.flops is None:
        return
    if lack := _lack(recipe, recipe.budget.flops, model_shape(recipe)):
        sizes = ", ".join(dict.fromkeys(name for stage in recipe.stage for name in sizes_of(stage.kind)))
        raise BudgetError(
            f"{lack}. Raise the budget, make the steps smaller{f' ({sizes})' if sizes else ''}, or try it all the same "
            "with --anyway."
        )


def sizes_of(kind: str) -> list[str]:
    """The settings of a stage that say how large its steps are."""
    known = options(find("stage", kind))
    names = [name for name in ("batch_documents", "prompts_per_step", "prompts_per_round", "samples") if name in known]
    return [*names, *(["algorithm.group_size"] if "algorithm" in known else [])]


def describe_study(study: Study) -> dict[str, Any]:
    """Every pipeline's ceiling and seconds, the arms, and what the whole takes with its workers."""
    shape = model_shape(study.start())
    workers = choose_workers(study.workers, shape)
    rates = quick_rates(shape, study.max_new_tokens)
    cost = estimate(study, rates, shape, scored_items(study.start(), ITEMS), workers)
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
    is_enough = study.flops >= needs
    lack = [] if is_enough else [_too_small(study.flops, needs, f"'{name}'", rates)]
    return {
        "stages": stages, "notes": [*notes, *lack, *seen, *study.notes], "is_enough": is_enough,
        "flops": cost.flops, "seconds": cost.seconds,
        "scoring_seconds": cost.evaluate_seconds / workers, "memory_bytes": cost.memory_bytes,
    }  # fmt: skip


def quick_rates(shape: Shape | None, max_new_tokens: int = TOKENS) -> Rates:
    """Rates from a third of a second of matrix products at the model's width: an estimate before anything is loaded."""
    peak = peak_rate(shape.width if shape else 128)
    return _rates(EFFICIENCY["train"] * peak, EFFICIENCY["sample"] * peak, max_new_tokens)


def _rates(train: float, sample: float, max_new_tokens: int) -> Rates:
    return Rates(train, sample, float(TOKENS), float(min(TOKENS, max_new_tokens)))


def _lack(recipe: Recipe, flops: float, shape: Shape) -> str:
    """Why so many operations are too few for the recipe, in words; "" where they are enough."""
    rates = _rates(1.0, 1.0, recipe.max_new_tokens)
    needs = max(smallest_budgets(recipe, shape, rates))
    return _too_small(flops, needs, "the recipe", rates) if flops < needs else ""


def _too_small(flops: float, needs: float, what: str, rates: Rates) -> str:
    return (
        f"TOO SMALL: with {flops:.3g} FLOPs not every stage of {what} makes a step; about {needs:.3g} are needed, if a "
        f"prompt has {rates.prompt_tokens:.0f} tokens and a completion {rates.own_tokens:.0f}"
    )
