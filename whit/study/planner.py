"""From a model, a task and a budget to a study: measures the machine once and freezes operations."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from whit.core.errors import BudgetError, DataError
from whit.core.flops import Shape
from whit.core.words import HOURS, plural, wrapped
from whit.recipes.machine import Rates, TaskFacts, measure_rates, model_shape, task_facts
from whit.recipes.needs import check_teacher
from whit.recipes.pipeline import Site
from whit.recipes.recipe import StopSpec, in_hours
from whit.recipes.stop import LEAST_ITEMS
from whit.stats.power import smallest_detectable_difference
from whit.study.grid import (
    MIN_STEPS,
    Estimate,
    choose_pipelines,
    dearest_start,
    dev_seconds,
    estimate,
    first_step,
    fit_to_hours,
    with_batches,
)
from whit.study.resources import choose_workers
from whit.study.study import Study

LEAST_TEST = 10
FEW_ITEMS = 100  # 95 % intervals of one score are then about +-10 points
MAX_ITEMS = 500  # of the test split, by default: a standard error of about two points
SHORT_ANSWER_TOKENS = 32
DEFAULT_TOKENS = 256
DEV_FRAC = 0.15  # of the hours, at most, goes into asking dev where runs stop
MOST_FINALISTS = 3  # of more pipelines than that, dev chooses
FACTORS = (0.3, 1.0, 3.0)  # of a learning rate, in trials


@dataclass(frozen=True)
class Planned:
    """A study and what it is expected to take. notes: what was found and what was left out, for the user."""

    study: Study
    cost: Estimate
    rates: Rates
    workers: int
    notes: tuple[str, ...]

    def __str__(self) -> str:
        """What was found, what will run, and what it costs, in lines of at most 80 columns."""
        names = ", ".join(spec.name for spec in self.study.pipeline)
        runs = f"pipelines: {names}; {plural(self.study.seeds, 'seed')}; and {', '.join(self.study.arms)}"
        price = self.study.price and f", {self.price:.2f} at {self.study.price:g} an hour"
        each = f"each pipeline may spend {self.study.flops:.3g} FLOPs; {self.cost} on {plural(self.workers, 'worker')}"
        return "\n".join(wrapped(line) for line in (*self.notes, runs, each + (price or "")))

    @property
    def price(self) -> float:
        """What the study is expected to cost, at the study's price an hour; 0 without one."""
        return (self.study.price or 0.0) * self.cost.seconds / HOURS


def plan_study(asked: Mapping[str, Any], *, workers: int = 0, device: str = "cpu") -> Planned:
    """asked: model, task; hours, money with price, or flops; teacher, seeds, max_new_tokens, template.

    They are what the command line takes. Hours and money are those of the whole study, flops those of one pipeline.

    Raises BudgetError when the hours are too few for the pipelines that the data allows.
    """
    import torch

    carried = ("model", "task", "teacher", "seeds", "template", "price")
    base = {key: asked.get(key) for key in carried if asked.get(key) is not None}
    draft = Study.make({**base, "flops": 1e12, "pipeline": [{"name": "sft", "stage": [{"kind": "sft"}]}]})
    if asked.get("teacher"):
        check_teacher(asked["teacher"])
    facts = task_facts(draft.start())
    if facts.num_test < LEAST_TEST:
        raise DataError(
            f"{asked['task']}: {facts.num_test} test examples say nothing of a training; a study needs {LEAST_TEST} at the "
            f"least, and {FEW_ITEMS} to see more than large differences. Give more rows."
        )
    pipelines, left_out = choose_pipelines(
        has_rationales=facts.has_rationales, has_teacher=asked.get("teacher") is not None
    )
    max_new_tokens = asked.get("max_new_tokens") or _completion_limit(
        facts.completion_tokens, facts.has_rationales, facts.has_short_answers
    )
    study = Study.make(
        {**base, "flops": 1e12, "pipeline": pipelines, "max_new_tokens": max_new_tokens, "notes": left_out}
    )
    study, rounds = _with_rounds(study, facts)
    shape = model_shape(study.start())
    chosen = choose_workers(workers, shape, device)
    torch.set_num_threads(max(1, (os.cpu_count() or 1) // chosen))
    rates = measure_rates(study.start(), Site(Path("."), device=device))
    items = min(facts.num_test, MAX_ITEMS)
    hours = in_hours(asked.get("hours"), asked.get("money"), asked.get("price"))
    if hours is not None:
        study, rounds = _affordable(study, rounds, rates, shape, chosen * 3600 * hours)
        study, items = fit_to_hours(study, rates, shape, items, chosen, hours, in_money=asked.get("money") is not None)
    else:
        study = with_batches(study.model_copy(update={"flops": float(asked["flops"])}), shape, rates)
        dearest, needed = dearest_start(study, shape, rates)
        if study.flops < needed:
            raise BudgetError(
                f"flops={study.flops:.3g} a pipeline is too small: the dearest first step, that of '{dearest}', is taken "
                f"from about {needed:.3g} on. Raise the budget, write fewer tokens (max_new_tokens), or run cheaper "
                "pipelines alone (`whit run sft ...`)."
            )
    spec = study.evaluate.model_copy(update={"items": items})
    study = study.model_copy(update={"evaluate": spec, "workers": chosen})
    study, trials = _with_trials(study, shape, rates)
    cost = estimate(study, rates, shape, items, chosen)
    found = (
        f"{facts.num_train:,} training, {facts.num_dev:,} dev and {facts.num_test:,} test examples; {items} are scored"
    )
    small = [] if items >= FEW_ITEMS else [
        f"only {items} test examples are scored: an interval of +-{100 / items**0.5:.0f} points or wider. With fewer than "
        f"{FEW_ITEMS} hardly any difference between trainings can be seen; give more rows."
    ]  # fmt: skip
    speed = f"one worker trains at {rates.train / 1e9:.0f} and samples at {rates.sample / 1e9:.0f} GFLOP/s here"
    return Planned(
        study, cost, rates, chosen, (found, *small, *rounds, trials, detectable(study), *facts.notes, speed, *left_out)
    )


def _with_rounds(study: Study, facts: TaskFacts) -> tuple[Study, list[str]]:
    """Stops on dev where it is large enough to choose with, and two rounds where there are many pipelines."""
    if facts.num_dev < LEAST_ITEMS:
        return study, [
            f"{facts.num_dev} dev examples are too few to choose with, {LEAST_ITEMS} are needed: no run stops early, and "
            "every pipeline is tested. Move training rows to dev with a column `split`"
        ]
    stop = StopSpec(items=min(StopSpec().items, facts.num_dev))
    notes = [f"dev ({stop.items} items, greedy) says where a run stops: at 1/8, 1/4, 1/2 or all of its budget"]
    if len(study.candidates) <= MOST_FINALISTS:
        return study.model_copy(update={"stop": stop}), notes
    notes.append(
        f"one run of each pipeline on dev chooses {MOST_FINALISTS} finalists, which are tested with fresh seeds"
    )
    return study.model_copy(update={"stop": stop, "finalists": MOST_FINALISTS}), notes


def _affordable(study: Study, notes: list[str], rates: Rates, shape: Shape, seconds: float) -> tuple[Study, list[str]]:
    """Without stops on dev where asking dev would take more than DEV_FRAC of the time of all workers."""
    if study.stop is None or (share := dev_seconds(study, rates, shape) / seconds) <= DEV_FRAC:
        return study, notes
    told = (
        f"no run stops early: asking dev takes {100 * share:.0f} % of these hours; {100 * DEV_FRAC:.0f} % may be spent"
    )
    return study.model_copy(update={"stop": None}), [told, *notes[1:]]


def _with_trials(study: Study, shape: Shape, rates: Rates) -> tuple[Study, str]:
    """Trials of learning rates, where their share of the budget buys enough steps to judge one by."""
    least = min(
        share * study.flops * study.trial_share / first_step(stage, shape, rates)
        for spec in study.candidates
        for recipe in [study.recipe(spec.name, 0)]
        for stage, share in zip(recipe.resolved()["stage"], recipe.shares, strict=True)
        if share
    )
    if study.stop is None or least < MIN_STEPS:
        return study, (
            f"no learning rates are tried: an eighth of this budget is {plural(int(least), 'step')} of the shortest stage, "
            f"and {MIN_STEPS} are needed to judge one; the defaults are taken"
        )
    factors = ", ".join(f"{factor:g}" for factor in FACTORS)
    return study.model_copy(update={"trials": FACTORS}), (
        f"every pipeline tries {factors} times its learning rate on dev, each with an eighth of its budget"
    )


def detectable(study: Study) -> str:
    """The smallest difference that the study would find, in words, with typical spreads of items and seeds."""
    items = study.evaluate.items or MAX_ITEMS
    num_pairs = len(study.candidates) * (len(study.candidates) + 1) // 2  # the untrained model stands among them
    least = smallest_detectable_difference(
        items, study.seeds, num_samples=study.evaluate.samples, level=1 - 0.05 / max(1, num_pairs)
    )
    return (
        f"with {study.seeds} seeds and {items:,} items, a difference of {100 * least:.0f} points between two of them is "
        "found with a chance of 80 %"
    )


def _completion_limit(gold_tokens: int, has_rationales: bool, has_short_answers: bool) -> int:
    """Twice the longest gold completion when there are rationales; little for labels; room to reason otherwise."""
    if has_short_answers:
        return max(SHORT_ANSWER_TOKENS, 2 * gold_tokens)
    return 2 * gold_tokens if has_rationales else DEFAULT_TOKENS
