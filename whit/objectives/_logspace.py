"""Probabilities and their divergences as the objectives use them: in logarithms, in float32."""

import math

import torch
from torch import Tensor


def log_probabilities(logits_TV: Tensor, temperature: float = 1.0) -> Tensor:
    """log softmax(logits / temperature), in float32; float64 stays float64, so that tests can be exact."""
    precise_TV = logits_TV.to(torch.promote_types(logits_TV.dtype, torch.float32))
    if temperature != 1:
        precise_TV = precise_TV / temperature
    return precise_TV.log_softmax(-1)


def divergence(p_TV: Tensor, q_TV: Tensor) -> Tensor:
    """KL(p || q) of each row in nats, from log-probabilities. A token that p rules out adds nothing, whatever q says."""
    gap_TV = (p_TV - q_TV).masked_fill(p_TV.isneginf(), 0.0)  # 0 log 0 = 0; -inf - -inf would be NaN
    return (p_TV.exp() * gap_TV).sum(-1)


def jensen_shannon(p_TV: Tensor, q_TV: Tensor, beta: float) -> Tensor:
    """beta KL(p || m) + (1 - beta) KL(q || m) of each row, m = beta p + (1 - beta) q; at 0 KL(p || q), at 1 KL(q || p)."""
    if beta == 0:
        return divergence(p_TV, q_TV)
    if beta == 1:
        return divergence(q_TV, p_TV)
    mixed_TV = mixture(p_TV, q_TV, beta)
    return beta * divergence(p_TV, mixed_TV) + (1 - beta) * divergence(q_TV, mixed_TV)


def mixture(p_TV: Tensor, q_TV: Tensor, share: float) -> Tensor:
    """log(share p + (1 - share) q), of probabilities, not of logits; share strictly between 0 and 1."""
    least = torch.finfo(p_TV.dtype).min / 4  # the gradient of logaddexp(-inf, -inf) is NaN
    return torch.logaddexp(p_TV.clamp(min=least) + math.log(share), q_TV.clamp(min=least) + math.log1p(-share))
