"""Reverse KL to the teacher by policy gradient, on tokens that the student drew.  Source: arXiv:2306.08543."""

from torch import Tensor

from whit.objectives._types import PerToken


def sampled_reverse_kl(logprobs_T: Tensor, teacher_logprobs_T: Tensor) -> PerToken:
    """-A log q of the drawn tokens, A = log p - log q without gradient: a token's own part of MiniLLM's objective, gamma 0.

    On the student's own samples its gradient is that of the reverse KL, in expectation: `reverse_kl` is the form without
    variance. The value is a policy-gradient surrogate and says nothing by itself.
    """
    advantages_T = (teacher_logprobs_T - logprobs_T).detach()
    return -advantages_T * logprobs_T
