"""The clipped policy-gradient surrogate of PPO, as GRPO uses it per token.  Source: arXiv:1707.06347."""

import torch
from torch import Tensor

from whit.objectives._types import PerToken


def clipped_surrogate(
    logprobs_T: Tensor,
    old_logprobs_T: Tensor,
    advantages_T: Tensor,
    *,
    clip: float = 0.2,
    clip_high: float | None = None,
) -> PerToken:
    """-min(ratio A, clip(ratio, 1 - clip, 1 + clip_high) A), ratio = exp(logprobs - old logprobs).

    clip_high: the upper side; None takes `clip`.
    The log of the ratio is bounded to +-20 before it is exponentiated.
    """
    ratio_T = (logprobs_T - old_logprobs_T).clamp(-20, 20).exp()
    clipped_T = ratio_T.clamp(1 - clip, 1 + (clip if clip_high is None else clip_high))
    return -torch.minimum(ratio_T * advantages_T, clipped_T * advantages_T)
