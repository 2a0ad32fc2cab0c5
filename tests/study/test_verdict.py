"""What a study may claim from the scores that it has."""

import numpy as np
import pytest

from whit.study.verdict import Candidate, decide

ITEMS = 300
COST = {
    "zero_shot": Candidate(0, 0, 0), "sft": Candidate(1e12, 60, 1), "rl": Candidate(1e12, 90, 1),
    "sft-rl": Candidate(1e12, 75, 2),
}  # fmt: skip


def scores(seeds=3, noise=0.01, **accuracy):
    """Scores [S, I] of pipelines with these accuracies, seeds apart by `noise`, on items of unequal difficulty."""
    rng = np.random.default_rng(0)
    difficulty = rng.normal(0, 0.15, ITEMS)
    made = {}
    for name, mean in accuracy.items():
        count = 1 if name == "zero_shot" else seeds
        shift = rng.normal(0, noise, (count, 1)) if count > 1 else np.zeros((1, 1))
        chance = np.clip(mean + difficulty - difficulty.mean() + shift - shift.mean(), 0, 1)
        made[name] = rng.binomial(4, chance) / 4
    return made


def verdict(cost=COST, **given):
    made = scores(**given)
    return decide(made, list(range(ITEMS)), {name: cost[name] for name in made}, "zero_shot")


def test_one_that_is_far_ahead_is_the_best():
    found = verdict(zero_shot=0.2, sft=0.6, rl=0.3)
    assert (found.shortlist, found.recommended) == (("sft",), "sft")
    assert found.sentence == "sft is the best of 2 trainings: every other one is worse beyond its interval."
    assert (found.more_seeds, found.more_items) == (None, None)


def test_of_two_that_cannot_be_told_apart_the_simpler_is_taken():
    found = verdict(zero_shot=0.2, **{"sft-rl": 0.605}, sft=0.6, rl=0.3)
    assert set(found.shortlist) == {"sft-rl", "sft"}
    assert found.recommended == "sft"
    assert "Undecided between " in found.sentence and "the simplest" in found.sentence
    assert found.more_seeds is None or found.more_seeds > 3
    assert found.more_items is None or found.more_items > ITEMS


def test_of_two_that_cannot_be_told_apart_the_cheaper_is_taken():
    cost = {**COST, "sft-rl": Candidate(5e11, 75, 2)}
    found = verdict(cost, zero_shot=0.2, **{"sft-rl": 0.6}, sft=0.605)
    assert found.recommended == "sft-rl" and "it is the cheapest" in found.sentence


def test_the_recommendation_may_change_with_the_unit():
    cost = {**COST, "sft-rl": Candidate(1e12, 30, 2)}
    assert verdict(cost, zero_shot=0.2, **{"sft-rl": 0.6}, sft=0.605).by_unit == {"flops": "sft", "seconds": "sft-rl"}


def test_a_little_cheaper_is_not_cheaper():
    cost = {**COST, "sft-rl": Candidate(0.9e12, 75, 2)}
    assert verdict(cost, zero_shot=0.2, **{"sft-rl": 0.6}, sft=0.605).recommended == "sft"


def test_when_no_training_helps_none_is_recommended():
    found = verdict(zero_shot=0.4, sft=0.405, rl=0.40)
    assert found.recommended == "zero_shot"
    assert found.sentence.startswith("No training is shown to help: zero_shot is among the 3")


def test_with_one_seed_nothing_is_decided():
    found = verdict(seeds=1, zero_shot=0.2, sft=0.6)
    assert (found.shortlist, found.recommended) == ((), None)
    assert found.sentence.startswith("One seed a pipeline cannot decide")


def test_with_nothing_trained_there_is_no_verdict():
    assert verdict(zero_shot=0.2).recommended is None


@pytest.mark.parametrize("noise", [0.005, 0.05])
def test_what_would_split_two_does(noise):
    """The numbers that a verdict asks for are about the ones with which the next study splits them."""
    found = verdict(noise=noise, zero_shot=0.1, sft=0.6, rl=0.57)
    assert set(found.shortlist) == {"sft", "rl"}
    if found.more_seeds is not None:
        assert found.more_seeds >= 3
        more = scores(noise=noise, seeds=2 * found.more_seeds, zero_shot=0.1, sft=0.6, rl=0.57)
        again = decide(more, list(range(ITEMS)), {name: COST[name] for name in more}, "zero_shot")
        assert again.shortlist == ("sft",)
