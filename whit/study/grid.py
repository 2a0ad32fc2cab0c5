"""Which pipelines a model, a task and a budget allow, and what they cost: the plan that `study.toml` writes down."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from whit.core.errors import BudgetError
from whit.core.flops import Shape, causal_pairs, forward_flops, train_flops
from whit.core.parts import bind
from whit.core.settings import read_toml
from whit.core.words import duration, size
from whit.recipes.machine import Rates, scoring_seconds, training_seconds
from whit.recipes.recipe import Recipe, StageSpec, library
from whit.study.jobs import plan_jobs
from whit.study.resources import run_memory
from whit.study.rounds import qualifying_jobs
from whit.study.study import Study

OVERHEAD = 0.85  # share of the hours that is planned for: loading, starting and idle workers take the rest
EVALUATION_FRAC = 0.35  # at most this share of the hours goes into scoring; fewer items are scored otherwise
MIN_ITEMS = 100
NUM_PROBED = 400  # texts, at most, that choose the layers of a task space
MIN_STEPS = 20  # a stage's batch is made smaller, within BATCHES, until so many steps fit its budget
BATCHES = {
    "sft": ("batch_documents", (32, 16, 8)),
    "step_by_step": ("batch_documents", (32, 16, 8)),
    "kd": ("batch_documents", (32, 16, 8)),
    "rl": ("prompts_per_step", (16, 8, 4, 2)),
    "hybrid": ("prompts_per_step", (16, 8, 4, 2)),
}


@dataclass(frozen=True)
class Estimate:
    """What a study is expected to take. seconds: wall time with its workers."""

    train_seconds: float
    evaluate_seconds: float
    seconds: float
    memory_bytes: float
    flops: float

    def __str__(self) -> str:
        return f"{self.flops:.3g} FLOPs in all, about {duration(self.seconds)}, {size(self.memory_bytes)} of memory"


def choose_pipelines(*, has_rationales: bool, has_teacher: bool) -> tuple[list[dict[str, Any]], list[str]]:
    """The library's pipelines that the data allows, and why the others are out."""
    chosen, notes = [], []
    for name, path in library().items():
        tree = read_toml(path)
        stages = tree["stage"]
        if any(stage["kind"] == "pretrain" for stage in stages) or not tree.get("study", True):
            continue
        needs_rationales = any(_needs_rationales(stage) for stage in stages)
        if any(stage["kind"] == "kd" for stage in stages) and not has_teacher:
            notes.append(f"{name}: left out, there is no teacher (--teacher DIR, a GGUF file, or a file of its texts)")
        elif needs_rationales and not has_rationales:
            notes.append(f"{name}: left out, the task has no rationales")
        elif name in ONLY_WITHOUT_RATIONALES and has_rationales:
            notes.append(f"{name}: left out, the task has rationales to train on")
        else:
            chosen.append({"name": name, "stage": stages})
    return chosen, notes


def _needs_rationales(stage: Mapping[str, Any]) -> bool:
    """By a stage's source, which every stage that trains on the data's own solutions takes when none is named."""
    usual = {"sft": "rationales", "step_by_step": "given", "specialize": "given"}.get(stage["kind"])
    return usual is not None and stage.get("source", usual) == usual


ONLY_WITHOUT_RATIONALES = ("sft-answers", "sft-own", "sft-answers-rl")


def unique_stages(study: Study) -> list[tuple[Recipe, int]]:
    """Every stage that will be run, as a recipe and the stage's index in it; shared prefixes stand once."""
    jobs, stages = plan_jobs(study), []
    for job in jobs:
        if job.kind == "arm":
            continue
        done = sum(other.depth for other in jobs if other.id in job.after)
        stages += [(study.recipe(job.name, job.seed), index) for index in range(done, job.depth)]
    return stages


def unique_flops(study: Study) -> float:
    """The ceiling of all stages that will be run, together."""
    return study.flops * sum(recipe.shares[index] for recipe, index in unique_stages(study))


def estimate(study: Study, rates: Rates, shape: Shape, num_items: int, workers: int) -> Estimate:
    """Wall time and memory of all rounds of a study that scores `num_items` items."""
    whole = {
        spec.name: sum(training_seconds(study.recipe(spec.name, 0), study.flops, rates)) for spec in study.pipeline
    }
    going_on = 1.0 if not qualifying_jobs(study) else going_share(study)
    tried = study.trial_share * len(study.trials)
    last = sum(training_seconds(recipe, study.flops, rates)[index] for recipe, index in unique_stages(study))
    qualifying = [spec for spec in study.candidates if qualifying_jobs(study)]
    train = (
        going_on * last
        + tried * sum(whole[spec.name] for spec in study.tried)
        + sum(whole[spec.name] for spec in qualifying)
    )

    runs = going_on * len(study.pipeline) * study.seeds
    once = scoring_seconds(study.start(), shape, num_items, rates)
    scoring = (runs + len(study.arms)) * once + dev_seconds(study, rates, shape)
    flops = going_on * unique_flops(study) + study.flops * (tried * len(study.tried) + len(qualifying))
    return Estimate(train, scoring, (train + scoring) / workers, workers * run_memory(shape), flops)


def dev_seconds(study: Study, rates: Rates, shape: Shape) -> float:
    """What all choices on dev take of one worker."""
    qualifying = len(qualifying_jobs(study))
    runs = (going_share(study) if qualifying else 1.0) * len(study.pipeline) * study.seeds + qualifying
    times = len(study.stop.at) + 1 if study.stop else 0
    once = scoring_seconds(study.start(), shape, study.dev_items, rates, samples=0)
    asked = times * runs + (0 if study.stop else qualifying) + len(study.trials) * len(study.tried)
    return asked * once


def going_share(study: Study) -> float:
    """Of the pipelines, the share that is tested where not all are: finalists and controls."""
    controls = len(study.pipeline) - len(study.candidates)
    return ((study.finalists or len(study.candidates)) + controls) / len(study.pipeline)


def fit_to_hours(
    study: Study, rates: Rates, shape: Shape, num_items: int, workers: int, hours: float, *, in_money: bool = False
) -> tuple[Study, int]:
    """The study with the ceiling and the number of items that fill the hours, and that number of items.

    in_money: whether the hours were bought at the study's price, for the words of the error.
    Raises BudgetError when scoring alone takes longer, or when what is left is less than a step.
    """
    available = hours * 3600 * OVERHEAD
    items = num_items
    evaluation = estimate(study, rates, shape, items, workers).evaluate_seconds / workers
    if evaluation > EVALUATION_FRAC * available:
        items = max(min(MIN_ITEMS, num_items), int(items * EVALUATION_FRAC * available / evaluation))
        evaluation = estimate(study, rates, shape, items, workers).evaluate_seconds / workers
    left = available - evaluation
    if left > 0:
        unit = estimate(study, rates, shape, items, workers)
        flops = study.flops * left / (unit.train_seconds / workers)
        fitted = with_batches(study.model_copy(update={"flops": float(f"{flops:.3g}")}), shape, rates)
        if flops >= dearest_start(fitted, shape, rates)[1]:
            return fitted, items
    _, smallest = dearest_start(with_batches(study.model_copy(update={"flops": 1.0}), shape, rates), shape, rates)
    need = (
        evaluation + estimate(study.model_copy(update={"flops": 10 * smallest}), rates, shape, items, workers).seconds
    ) / OVERHEAD
    unit_price, what, option = (study.price or 1.0, "of money", "--money") if in_money else (1.0, "hours", "--hours")
    raise BudgetError(
        f"{hours * unit_price:g} {what} do not train {len(study.pipeline)} pipelines x {study.seeds} seeds on this "
        f"machine; at its speed now, about {need / 3600 * unit_price:.2g} {what} are needed. Raise {option}, take fewer "
        "--seeds, or a smaller model."
    )


def with_batches(study: Study, shape: Shape, rates: Rates) -> Study:
    """The study with a batch size written into every stage that names none: the largest that leaves MIN_STEPS steps."""
    pipelines = []
    for spec in study.pipeline:
        recipe = study.recipe(spec.name, 0)
        stages = []
        for stage, resolved, share in zip(spec.stage, recipe.resolved()["stage"], recipe.shares, strict=True):
            name, sizes = BATCHES.get(stage.kind, ("", ()))
            if sizes and name not in stage.settings:
                most = share * study.flops / MIN_STEPS
                fitting = [size for size in sizes if first_step({**resolved, name: size}, shape, rates) <= most]
                stage = StageSpec.model_validate({**stage.model_dump(), name: (fitting or sizes[-1:])[0]})
            stages.append(stage)
        pipelines.append(spec.model_copy(update={"stage": tuple(stages)}))
    return study.model_copy(update={"pipeline": tuple(pipelines)})


def dearest_start(study: Study, shape: Shape, rates: Rates) -> tuple[str, float]:
    """The pipeline that asks for most, and the operations that let its every stage make a first step, about."""
    most, name = max(
        (need, spec.name)
        for spec in study.pipeline
        for need in smallest_budgets(study.recipe(spec.name, 0), shape, rates)
    )
    return name, most


def smallest_budgets(recipe: Recipe, shape: Shape, rates: Rates) -> list[float]:
    """Operations of the whole recipe from which on each of its stages makes a first step, about."""
    stages = zip(recipe.resolved()["stage"], recipe.shares, strict=True)
    return [first_step(stage, shape, rates) / share if share else 0.0 for stage, share in stages]


def first_step(stage: Mapping[str, Any], shape: Shape, rates: Rates) -> float:
    """Operations of a stage's first step, with its sampling. A teacher is taken to be as large as the student."""
    length = rates.prompt_tokens + rates.own_tokens
    pairs = causal_pairs(length)
    update = train_flops(shape, length, rates.own_tokens, pairs)
    forward = forward_flops(shape, length, rates.own_tokens, pairs)
    if stage["kind"] in ("rl", "hybrid"):
        settings = stage["algorithm"] if isinstance(stage["algorithm"], Mapping) else {"name": stage["algorithm"]}
        named = {key: value for key, value in settings.items() if key != "name"}
        group_size = bind("algorithm", settings["name"], named)().group_size
        return float(stage["prompts_per_step"] * group_size * (forward + update))
    sampling = _space_flops(stage.get("space"), shape, rates)
    sampling += stage["own_prompts"] * stage["own_samples"] * forward if stage.get("source") == "own" else 0.0
    if stage["kind"] in ("rejection", "prefixes", "rsd"):  # both models write in rsd
        writers = 2 if stage["kind"] == "rsd" else 1
        return float(stage["prompts_per_round"] * stage["samples"] * forward * writers)
    if stage["kind"] == "minillm":
        return float(stage["prompts_per_step"] * (3 * forward + update))
    taught = 2 * forward if stage["kind"] == "kd" else 0.0
    views = 2 if stage["kind"] == "step_by_step" else 1
    return float(sampling + views * stage.get("batch_documents", 1) * (update + taught))


def _space_flops(space: Mapping[str, Any] | None, shape: Shape, rates: Rates) -> float:
    """Operations that build a task space and choose its layers: of two labels, the fewest, where the task was not read."""
    if space is None or space.get("space") is not None or not (space["compression"] or space["selection"]):
        return 0.0
    texts, num_labels = rates.num_texts or math.inf, rates.num_labels or 2
    own = min(space["contexts"], texts)
    prompts = own + 2 * own * num_labels if space["pairs"] == "hints" else min(texts, 2 * own * num_labels)
    if space["compression"] and not space["understanding"]:
        prompts += min(NUM_PROBED, rates.num_texts / 4)
    return float(prompts * forward_flops(shape, rates.prompt_tokens, 0, causal_pairs(rates.prompt_tokens)))


def write_study(path: Path, study: Study) -> None:
    """`study.toml`, to be read, edited and run again."""
    from whit.core.rundir import write_beside
    from whit.core.settings import to_plain, write_toml

    write_beside(path, write_toml(to_plain(study)))
