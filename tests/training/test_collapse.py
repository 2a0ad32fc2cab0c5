"""A training that lost its own reward, or whose loss rose, has collapsed; noise, and progress, have not."""

import random

import pytest

from whit.objectives._types import Term
from whit.objectives.cross_entropy import cross_entropy
from whit.training.collapse import collapse, without_schedules

TERMS = ("cross_entropy", "forward_kl", "prediction", "clipped_surrogate")
REWARD = {"terms": TERMS, "by_reward": True}
LOSS = {"terms": TERMS, "by_reward": False}


def lines(values, name="reward", **more):
    """Metrics of a training: `name` takes the values, other figures theirs."""
    return [{"step": n, name: v, **{key: of[n] for key, of in more.items()}} for n, v in enumerate(values)]


def around(*means, steps=20, noise=0.02, seed=0):
    """`steps` values around each mean."""
    rng = random.Random(seed)
    return [mean + rng.gauss(0, noise) for mean in means for _ in range(steps)]


def test_a_reward_that_fell_away_is_named_with_what_else_happened():
    metrics = lines([0.4] * 5 + [0.5] * 30 + [0.02] * 5, entropy=[0.3] * 35 + [4.0] * 5, truncated=[0.1] * 40)
    assert collapse(metrics, **REWARD) == (
        "the reward fell from 0.50 (steps 6 to 10) to 0.02 (steps 36 to 40); entropy went from 0.30 to 4.00; "
        "truncated went from 0.10 to 0.10"
    )


@pytest.mark.parametrize(
    ("means", "has_collapsed"),
    [
        ((0.4, 0.5, 0.1), True),
        ((0.1, 0.5, 0.1), True),  # of its best, not of its beginning
        ((0.4, 0.5, 0.3), False),  # worse, and still more than half of it
        ((0.1, 0.3, 0.5), False),
        ((-1.0, -1.0, -2.0), True),  # rewards below zero
        ((-1.0, -1.0, -1.2), False),
        ((0.0, 0.0, 0.0), False),
    ],
)
def test_less_than_half_of_the_reward_is_a_collapse(means, has_collapsed):
    assert bool(collapse(lines(around(*means)), **REWARD)) == has_collapsed


def test_a_fall_within_the_noise_of_the_steps_is_none():
    rare = [1 / 32, 0, 0, 2 / 32, 0, 0, 0, 1 / 32, 0, 0] + [0] * 20 + [0, 0, 0, 1 / 32, 0, 0, 0, 0, 0, 0]
    assert collapse(lines(rare), **REWARD) == ""


def test_equal_rewards_never_collapse_by_chance():
    for seed in range(200):
        assert collapse(lines(around(0.3, 0.3, 0.3, noise=0.15, seed=seed)), **REWARD) == ""


def test_the_loss_decides_where_no_reward_is_maximised_and_only_there():
    rising, steady = around(0.1, 1.0, 5.0), around(0.4, 0.4, 0.4)
    assert collapse(lines(steady, clipped_surrogate=rising), **REWARD) == ""
    assert collapse(lines(steady, forward_kl=rising), **LOSS).startswith("forward_kl rose from")
    assert collapse(lines(around(0.4, 0.4, 0.0), forward_kl=steady), **LOSS) == ""
    assert collapse(lines(rising, name="prediction"), **LOSS).startswith("prediction rose from")
    assert collapse(lines(rising, name="entropy"), **LOSS) == ""  # a figure that nobody minimises
    assert collapse(lines(rising, name="clipped_surrogate"), **LOSS) == ""  # its gradient is meant, not its value


@pytest.mark.parametrize(
    ("means", "has_collapsed"), [((2.0, 1.5, 6.0), True), ((2.0, 1.0, 3.0), False), ((0.001, 0.001, 0.05), False)]
)
def test_a_loss_that_ends_at_twice_its_start_is_a_collapse(means, has_collapsed):
    found = collapse(lines(around(*means, noise=0.001), name="cross_entropy"), **LOSS)
    assert bool(found) == has_collapsed
    assert not has_collapsed or found.startswith("cross_entropy rose from 2.00 (steps 1 to 8) to 6.00 (steps 53 to 60)")


def test_few_steps_say_nothing():
    assert collapse(lines([0.5] * 4 + [0.0] * 5), **REWARD) == ""
    assert collapse([], **REWARD) == collapse([], **LOSS) == ""


def test_a_term_whose_weight_grows_is_judged_without_it():
    """A loss that stays where it is, weighed by 0 to 1 over all of the training, rises in the record and has not risen."""
    terms = [Term(cross_entropy), Term(cross_entropy, lambda progress: progress, name="selection")]
    shares = [step / 40 for step in range(40)]
    weighed = lines([2.0] * 40, "cross_entropy", progress=shares, selection=[0.5 * share for share in shares])
    names = {"terms": [term.name for term in terms], "by_reward": False}
    assert collapse(weighed, **names).startswith("selection rose")
    plain = without_schedules(weighed, terms)
    assert collapse(plain, **names) == "" and "selection" not in plain[0]
    assert [line["selection"] for line in plain[1:]] == pytest.approx([0.5] * 39)
    risen = without_schedules(lines(shares, "selection", progress=shares), [Term(cross_entropy, 0.5, name="selection")])
    assert risen == lines(shares, "selection", progress=shares)  # a constant weight is part of the loss
