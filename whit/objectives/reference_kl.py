"""Penalty for leaving the reference model, estimated on the sampled tokens.  Source: k3 of arXiv:2402.03300."""

from torch import Tensor

from whit.objectives._types import PerToken


def reference_kl(logprobs_T: Tensor, reference_logprobs_T: Tensor) -> PerToken:
    """k3 = exp(-d) + d - 1 with d = logprobs - reference logprobs: at least 0, and 0 where the two agree.

    Its value estimates KL(policy || reference) without bias; on-policy its gradient is that of the forward KL.
    """
    d_T = (logprobs_T - reference_logprobs_T).clamp(-20, 20)
    return (-d_T).exp() + d_T - 1
