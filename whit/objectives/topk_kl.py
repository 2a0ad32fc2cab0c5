"""Forward KL to a teacher of whom only the likeliest tokens were kept.  Source: arXiv:2503.16870 and arXiv:2207.10666."""

from typing import Annotated, Literal

import torch
from pydantic import Field
from torch import Tensor

from whit.objectives._logspace import divergence, log_probabilities
from whit.objectives._types import PerToken

MIN_REST = 1e-8  # rounding of the kept probabilities must not leave the rest nothing, or less


def topk_kl(
    logits_TV: Tensor,
    kept_ids_TK: Tensor,
    kept_logprobs_TK: Tensor,
    *,
    rest: Literal["bucket", "spread", "none", "renormalise"] = "bucket",
    temperature: Annotated[float, Field(gt=0)] = 1.0,
) -> PerToken:
    """KL(p || q) over the K kept tokens and what is said of the others, in nats.

    kept_ids_TK, kept_logprobs_TK: the teacher's, at temperature 1; a place that is not used has the log-probability -inf.
    rest: "bucket" compares the mass of all other tokens as one (K + 1 classes; the ghost token of RS-KD), "spread" shares
        it out evenly, which pulls the student's tail flat (TinyViT), "none" leaves it out (biased: the gradient is
        q sum(p) - p), "renormalise" gives it to the kept tokens (DistillKit's default: over-confident).
    temperature: softens both; the loss is multiplied by its square. How the others' mass softens is not known; it is
        softened as if they were one token ("spread": as many equal ones).
    """
    student_TV = log_probabilities(logits_TV, temperature)
    student_TK = student_TV.gather(-1, kept_ids_TK.long())
    used_TK = ~kept_logprobs_TK.isneginf()
    student_TK = student_TK.masked_fill(~used_TK, -torch.inf)
    others_T = student_TV.shape[-1] - used_TK.sum(-1)
    teacher_TK, rest_T = _softened(
        kept_logprobs_TK.to(student_TV.dtype), others_T, temperature, spread=rest == "spread"
    )
    if rest == "renormalise":
        return temperature**2 * divergence(teacher_TK.log_softmax(-1), student_TK)
    kept_T = divergence(teacher_TK, student_TK)
    if rest == "none":
        return temperature**2 * kept_T
    if rest == "bucket":
        student_rest_T = _rest(student_TK)
        return temperature**2 * (kept_T + (rest_T.exp() * (rest_T - student_rest_T)).where(others_T > 0, 0.0))
    # sum over the others of (r / n) (log(r / n) - log q)
    count_T = others_T.clamp(min=1)
    tail_T = student_TV.sum(-1) - student_TK.where(used_TK, 0.0).sum(-1)
    spread_T = rest_T.exp() * (rest_T - count_T.log() - tail_T / count_T)
    return temperature**2 * (kept_T + spread_T.where(others_T > 0, 0.0))


def _softened(kept_TK: Tensor, others_T: Tensor, temperature: float, *, spread: bool) -> tuple[Tensor, Tensor]:
    """Log-probabilities of the kept tokens and of the rest, as one, at the temperature."""
    rest_T = _rest(kept_TK)
    if temperature == 1:
        return kept_TK, rest_T
    rest_T = rest_T.where(others_T > 0, -torch.inf)
    count_T = others_T.clamp(min=1).log() if spread else torch.zeros_like(rest_T)
    soft_TK, soft_rest_T = kept_TK / temperature, (rest_T - count_T) / temperature + count_T
    total_T = torch.logaddexp(soft_TK.logsumexp(-1), soft_rest_T)
    return soft_TK - total_T[:, None], soft_rest_T - total_T


def _rest(kept_TK: Tensor) -> Tensor:
    """Logarithm of the probability that the kept tokens leave to the others."""
    return (1 - kept_TK.exp().sum(-1)).clamp(min=MIN_REST).log()
