"""The losses of policy gradients beside the clipped surrogate, by hand and against each other."""

import math

import pytest
import torch
from torch import Tensor

from whit.objectives.clipped_surrogate import clipped_surrogate
from whit.objectives.clipped_weight import clipped_weight
from whit.objectives.entropy_bonus import entropy_bonus
from whit.objectives.mixed_policy import mixed_policy
from whit.objectives.policy_gradient import policy_gradient
from whit.objectives.reference_kl import reference_kl
from whit.objectives.sequence_surrogate import sequence_surrogate
from whit.objectives.value_regression import value_regression

LOGPROBS_T = torch.tensor([-1.0, -2.0, -0.5, -3.0, -0.1], dtype=torch.float64)
ADVANTAGES_T = torch.tensor([1.5, 1.5, -0.5, -0.5, -0.5], dtype=torch.float64)
SEQUENCE_T = torch.tensor([0, 0, 1, 1, 1])
MEAN_OF_MEANS = torch.tensor([1 / 4, 1 / 4, 1 / 6, 1 / 6, 1 / 6], dtype=torch.float64)


def one(number: float) -> Tensor:
    return torch.tensor([number], dtype=torch.float64)


def gradient(loss, weights_T: Tensor = MEAN_OF_MEANS) -> Tensor:
    own_T = LOGPROBS_T.clone().requires_grad_()
    return torch.autograd.grad((weights_T * loss(own_T)).sum(), own_T)[0]


@pytest.mark.parametrize(
    "loss",
    [
        lambda x: clipped_surrogate(x, LOGPROBS_T, ADVANTAGES_T),
        lambda x: clipped_surrogate(x, LOGPROBS_T, ADVANTAGES_T, dual_clip=3.0),
        lambda x: clipped_weight(x, LOGPROBS_T, ADVANTAGES_T),
        lambda x: sequence_surrogate(x, LOGPROBS_T, ADVANTAGES_T, SEQUENCE_T),
    ],
)
def test_on_fresh_rollouts_all_of_them_have_the_gradient_of_reinforce(loss):
    expected = gradient(lambda x: policy_gradient(x, ADVANTAGES_T))
    torch.testing.assert_close(gradient(loss), expected, rtol=1e-9, atol=1e-12)


def test_dual_clip_bounds_what_a_bad_token_costs_and_nothing_else():
    bad = clipped_surrogate(one(0.0), one(-math.log(5)), one(-1.0), dual_clip=3.0)
    assert bad.item() == 3.0
    assert clipped_surrogate(one(0.0), one(-math.log(5)), one(-1.0)).item() == pytest.approx(5.0)
    good = clipped_surrogate(one(0.0), one(-math.log(5)), one(1.0), dual_clip=3.0)
    assert good.item() == pytest.approx(-1.2)


def test_a_completion_has_one_ratio_the_geometric_mean_of_its_tokens():
    logprobs_T = LOGPROBS_T + torch.tensor([0.3, -0.1, 0.0, 0.0, 0.3], dtype=torch.float64)
    value_T = sequence_surrogate(logprobs_T, LOGPROBS_T, ADVANTAGES_T, SEQUENCE_T, clip=9.0, clip_high=9.0)
    # (0.3 - 0.1) / 2 and (0 + 0 + 0.3) / 3: both ratios are exp(0.1)
    expected = (-math.exp(0.1) * ADVANTAGES_T).tolist()
    assert value_T.tolist() == pytest.approx(expected)


def test_a_completion_is_clipped_as_a_whole():
    logprobs_T = (LOGPROBS_T + 0.001).requires_grad_()
    value_T = sequence_surrogate(logprobs_T, LOGPROBS_T, ADVANTAGES_T, SEQUENCE_T, clip=3e-4, clip_high=4e-4)
    assert value_T[:2].tolist() == pytest.approx([-1.5 * 1.0004] * 2)  # good, and gone up far enough
    assert value_T[2:].tolist() == pytest.approx([0.5 * math.exp(0.001)] * 3)
    (grad_T,) = torch.autograd.grad(value_T.sum(), logprobs_T)
    assert grad_T[:2].tolist() == [0.0, 0.0] and all(g > 0 for g in grad_T[2:])


@pytest.mark.parametrize(("ratio", "weight"), [(1.0, 1.0), (4.0, 4.0), (50.0, 5.0), (0.01, 0.01)])
def test_a_clipped_weight_bounds_the_step_and_never_stops_it(ratio, weight):
    own_T = LOGPROBS_T[:1].clone().requires_grad_()
    value_T = clipped_weight(own_T, LOGPROBS_T[:1] - math.log(ratio), one(2.0), high=5.0)
    (grad_T,) = torch.autograd.grad(value_T.sum(), own_T)
    assert grad_T.item() == pytest.approx(-2.0 * weight)
    assert value_T.item() == pytest.approx(-2.0 * weight * -1.0)


def test_a_weight_may_have_a_lower_bound_too():
    value_T = clipped_weight(one(-1.0), one(-1.0 + math.log(10)), one(1.0), low=0.8)
    assert value_T.item() == pytest.approx(0.8)


def test_the_bonus_is_minus_the_entropy():
    assert entropy_bonus(one(0.7)).item() == -0.7


@pytest.mark.parametrize(
    ("value", "old", "expected"),
    [
        (1.0, 1.0, 0.5 * 1.0),  # return 2
        (1.5, 1.0, 0.5 * 0.8**2),  # it came nearer, but counts as 1.2 only: the farther one is taken
        (0.5, 1.0, 0.5 * 1.5**2),  # it went away: nothing is held back
    ],
)
def test_a_value_is_held_near_its_old_one(value, old, expected):
    assert value_regression(one(value), one(2.0), one(old), clip=0.2).item() == pytest.approx(expected)


POLICY_V = torch.tensor([0.5, 0.3, 0.2], dtype=torch.float64)
REFERENCE_V = torch.tensor([0.4, 0.4, 0.2], dtype=torch.float64)


def expected_gradient(**settings: object) -> list[float]:
    """On the logits, over the policy's own samples: that of the penalty alone, the sampling itself has none."""
    logits_V = POLICY_V.log().requires_grad_()
    logp_V = logits_V.log_softmax(-1)
    value = (POLICY_V * reference_kl(logp_V, POLICY_V.log(), REFERENCE_V.log(), **settings)).sum()
    return torch.autograd.grad(value, logits_V)[0].tolist()


def test_the_gradients_of_the_estimators():
    """Worked out: the reverse KL, whose gradient k2 and the weighted k3 have, and the forward KL of k3 alone."""
    reverse = [0.098938, -0.093885, -0.005053]
    assert expected_gradient(estimator="k2") == pytest.approx(reverse, abs=1e-6)
    assert expected_gradient(estimator="k3", weighted=True) == pytest.approx(reverse, abs=1e-6)
    assert expected_gradient(estimator="k1", weighted=True) == pytest.approx(reverse, abs=1e-6)
    assert expected_gradient(estimator="k1") == pytest.approx([0.0, 0.0, 0.0], abs=1e-9)
    assert expected_gradient(estimator="k3") == pytest.approx((POLICY_V - REFERENCE_V).tolist(), abs=1e-9)


def test_the_values_of_the_estimators():
    values = {
        name: (POLICY_V * reference_kl(POLICY_V.log(), POLICY_V.log(), REFERENCE_V.log(), estimator=name)).sum().item()
        for name in ("k1", "k2", "k3")
    }
    assert values == pytest.approx({"k1": 0.0252672, "k2": 0.0248624, "k3": 0.0252672}, abs=1e-7)


@pytest.mark.parametrize(
    ("p", "pass_rate", "ratio"),
    [(0.1, 0.0, 1.0), (0.1, 0.5, 0.1818), (0.1, 1.0, 0.1), (1.0, 0.0, 1.0), (1.0, 1.0, 1.0)],
)
def test_given_tokens_are_weighed_by_how_hard_their_prompt_is(p, pass_rate, ratio):
    logprobs_T = one(math.log(p)).requires_grad_()
    value_T = mixed_policy(logprobs_T, one(0.0), one(2.0), one(pass_rate))
    assert value_T.item() == pytest.approx(-2.0 * ratio, rel=1e-3)
    # The denominator has no gradient, so that a given token of a hopeless prompt is learnt as in SFT.
    assert torch.autograd.grad(value_T.sum(), logprobs_T)[0].item() == pytest.approx(-2.0 * ratio, rel=1e-3)


def test_own_tokens_have_the_ratio_to_the_policy_that_sampled_and_no_clip():
    value_T = mixed_policy(one(-1.0), one(-1.0 - math.log(5)), one(2.0), one(-1.0))
    assert value_T.item() == pytest.approx(-10.0)
