"""Penalty for leaving the reference model, estimated on the sampled tokens.  Source: k3 of arXiv:2402.03300."""

from typing import Literal, TypeAlias

from torch import Tensor

from whit.objectives._ratio import BOUND, ratio_of
from whit.objectives._types import PerToken

Estimator: TypeAlias = Literal["k1", "k2", "k3"]


def estimate(difference_T: Tensor, estimator: Estimator) -> Tensor:
    """KL(policy || reference) on the policy's own tokens, from the log-probabilities less the reference's."""
    d_T = difference_T.clamp(-BOUND, BOUND)
    return d_T if estimator == "k1" else d_T.square() / 2 if estimator == "k2" else (-d_T).exp() + d_T - 1


def reference_kl(
    logprobs_T: Tensor,
    old_logprobs_T: Tensor,
    reference_logprobs_T: Tensor,
    *,
    estimator: Estimator = "k3",
    weighted: bool = False,
) -> PerToken:
    """An estimate of KL(policy || reference) on each token, 0 where the two agree.

    estimator: with d = logprobs - reference logprobs, "k1" is d, "k2" d^2 / 2, "k3" exp(-d) + d - 1. The values of k1 and
        k3 have no bias; but on the policy's own samples the gradient of k3 is that of KL(reference || policy), and k1 has
        none on average. k2's is the right one.
    weighted: times the ratio to the policy that sampled: the gradients of k1 and k3 are then that of KL(policy ||
        reference), as in TRL.
    """
    value_T = estimate(logprobs_T - reference_logprobs_T, estimator)
    return ratio_of(logprobs_T - old_logprobs_T) * value_T if weighted else value_T
