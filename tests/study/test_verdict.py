"""What a study may claim from the scores that it has."""

import numpy as np

from whit.core.types import Interval
from whit.study.verdict import Candidate, decide

ITEMS = 300
GAIN, NO_GAIN, LOSS = Interval(0.2, 0.1, 0.3), Interval(0.02, -0.1, 0.14), Interval(-0.2, -0.3, -0.1)
COST = {"sft": (1e12, 60, 1), "rl": (1e12, 90, 1), "sft-rl": (1e12, 75, 2)}


def scores(seeds=3, noise=0.01, **accuracy):
    """Scores [S, I] of trainings with these accuracies, seeds apart by `noise`, on items of unequal difficulty."""
    rng = np.random.default_rng(0)
    difficulty = rng.normal(0, 0.15, ITEMS)
    made = {}
    for name, mean in accuracy.items():
        shift = rng.normal(0, noise, (seeds, 1))
        chance = np.clip(mean + difficulty - difficulty.mean() + shift - shift.mean(), 0, 1)
        made[name] = rng.binomial(4, chance) / 4
    return made


def verdict(cost=COST, gains=None, broken=(), **given):
    made = scores(**given)
    gains = gains or dict.fromkeys(made, GAIN)
    candidates = {name: Candidate(gains[name], *cost[name], name not in broken) for name in made}
    return decide(made, list(range(ITEMS)), candidates, "zero_shot")


def test_one_that_is_far_ahead_is_the_best():
    found = verdict(sft=0.6, rl=0.3)
    assert (found.shortlist, found.recommended) == (("sft",), "sft")
    assert found.sentence == "sft is better than zero_shot; every other one is worse beyond its interval."
    assert (found.more_seeds, found.more_items) == (None, None)


def test_a_single_training_that_helps():
    assert verdict(sft=0.6).sentence == "sft is better than zero_shot, the only training."


def test_of_two_that_cannot_be_told_apart_the_simpler_is_taken():
    found = verdict(**{"sft-rl": 0.605}, sft=0.6, rl=0.3)
    assert set(found.shortlist) == {"sft-rl", "sft"}
    assert found.recommended == "sft"
    assert "Undecided between " in found.sentence and "the simplest" in found.sentence


def test_of_two_that_cannot_be_told_apart_the_cheaper_is_taken():
    found = verdict({**COST, "sft-rl": (5e11, 75, 2)}, **{"sft-rl": 0.6}, sft=0.605)
    assert found.recommended == "sft-rl" and "it is the cheapest" in found.sentence


def test_the_recommendation_may_change_with_the_unit():
    found = verdict({**COST, "sft-rl": (1e12, 30, 2)}, **{"sft-rl": 0.6}, sft=0.605)
    assert found.by_unit == {"flops": "sft", "seconds": "sft-rl"}


def test_a_little_cheaper_is_not_cheaper():
    assert verdict({**COST, "sft-rl": (0.9e12, 75, 2)}, **{"sft-rl": 0.6}, sft=0.605).recommended == "sft"


def test_a_run_that_broke_off_is_not_taken_for_being_cheap():
    assert verdict({**COST, "rl": (1e11, 5, 1)}, sft=0.6, rl=0.6).recommended == "rl"
    assert verdict({**COST, "rl": (1e11, 5, 1)}, broken={"rl"}, sft=0.6, rl=0.6).recommended == "sft"


def test_what_is_shown_to_help_is_taken_before_a_higher_mean_that_is_not():
    found = verdict(gains={"sft": GAIN, "rl": NO_GAIN}, noise=0.06, sft=0.58, rl=0.6)
    assert set(found.shortlist) == {"sft", "rl"} and found.recommended == "sft"
    assert "it alone is shown to be better than no training" in found.sentence


def test_when_no_training_helps_none_is_recommended():
    found = verdict(gains={"sft": NO_GAIN, "rl": LOSS}, sft=0.405, rl=0.2)
    assert found.recommended == "zero_shot"
    assert found.sentence.startswith(
        "No training is shown to help: no interval of a gain over zero_shot leaves zero out"
    )
    assert (
        verdict(gains={"sft": LOSS}, sft=0.2).sentence == "Every training is worse than zero_shot beyond its interval."
    )


def test_with_one_seed_nothing_is_decided():
    found = verdict(seeds=1, sft=0.6, rl=0.2)
    assert (found.shortlist, found.recommended) == ((), None)
    assert found.sentence.startswith("One seed a pipeline cannot decide")


def test_with_nothing_trained_there_is_no_verdict():
    assert decide({}, [], {}, "zero_shot").recommended is None
