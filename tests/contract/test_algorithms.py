"""Every RL algorithm: credit ignores order and favours the better rollout, and its loss can be made in any stage."""

import inspect
import math
from itertools import pairwise

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from whit.algorithms._types import Algorithm
from whit.core import parts
from whit.core.types import Example, Group, Rollout, Segment, Verdict
from whit.rollouts.batches import to_documents
from whit.training.signals import check_terms
from whit.training.weights import token_weights

EACH = pytest.mark.parametrize("name", parts.names("algorithm"))
REWARDS = st.lists(st.sampled_from([-2.0, 0.0, 0.1, 0.5, 1.0, 2.0]), min_size=2, max_size=16)


def algorithm(name: str) -> Algorithm:
    """As it is without settings."""
    made = parts.find("algorithm", name)()
    assert isinstance(made, Algorithm)
    return made


def groups_of(*rewards: list[float]) -> list[Group]:
    """Rollouts of 1, 2, 3 ... tokens with these rewards, a list a group."""

    def rollout(reward: float, size: int) -> Rollout:
        own = Segment(tuple(range(size)), "policy", (-1.0,) * size)
        return Rollout((Segment((1, 2), "prompt"), own), "", "stop", Verdict(reward > 0), reward)

    return [
        Group(Example(str(n), "?", "1"), tuple(rollout(r, i + 1) for i, r in enumerate(group)))
        for n, group in enumerate(rewards)
    ]


@EACH
def test_nothing_is_needed_to_make_it(name):
    part, made = parts.find("algorithm", name), algorithm(name)
    assert parts.inputs(part) == []
    assert made.group_size >= 1 and made.num_updates >= 1 and made.terms
    for setting in parts.options(part).values():
        assert setting.default is not inspect.Parameter.empty
        assert setting.annotation is not inspect.Parameter.empty


@EACH
def test_its_docstring_says_what_it_is(name):
    part = parts.find("algorithm", name)
    assert len(parts.summary(part)) > 20
    assert "Source: arXiv:" in inspect.getdoc(inspect.getmodule(part))


@EACH
def test_its_terms_can_be_made_without_a_teacher(name):
    check_terms(algorithm(name).terms, None)


@EACH
@given(rewards=REWARDS, data=st.data())
@settings(deadline=None)
def test_credit_ignores_the_order_of_the_rollouts(name, rewards, data):
    order, credit = data.draw(st.permutations(range(len(rewards)))), algorithm(name).credit
    shuffled = credit([rewards[i] for i in order])
    torch.testing.assert_close(shuffled, credit(rewards)[list(order)], rtol=1e-5, atol=1e-6)


@EACH
@given(rewards=REWARDS)
@settings(deadline=None)
def test_credit_is_finite_and_ranks_rollouts_as_their_rewards_do(name, rewards):
    advantages = algorithm(name).credit(rewards)
    assert advantages.shape == (len(rewards),)
    assert advantages.isfinite().all()
    ranked = sorted(zip(rewards, advantages.tolist(), strict=True))
    for (low, below), (high, above) in pairwise(ranked):
        assert below < above if low < high else math.isclose(below, above, abs_tol=1e-6)


@EACH
@pytest.mark.parametrize("reward", [0.0, 1.0, 0.1])
@pytest.mark.parametrize("size", [2, 3, 8])
def test_equal_rewards_give_no_advantage(name, reward, size):
    assert algorithm(name).credit([reward] * size).tolist() == [0.0] * size


@EACH
def test_every_rollout_becomes_a_document_or_its_group_is_counted(name):
    made = algorithm(name)
    documents, dropped = to_documents(groups_of([1.0, 0.0, 0.0], [1.0, 1.0], [0.0, 0.5]), made)
    assert dropped == made.drop_equal
    assert len(documents) == 7 - 2 * dropped
    for document in documents:
        for values in document.recorded.values():
            assert len(values) == document.num_supervised


@EACH
def test_the_denominators_count_the_whole_step(name):
    made = algorithm(name)
    documents, _ = to_documents(groups_of([1.0, 0.0, 0.0], [0.0, 0.5]), made)
    for term in made.terms:
        total = sum(w * d.num_supervised for w, d in zip(token_weights(documents, term), documents, strict=True))
        if term.reduction != "constant":  # a mean: a loss of one on every token is one
            assert total == pytest.approx(1.0)
