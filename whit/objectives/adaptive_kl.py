"""Forward and reverse KL, weighted by where teacher and student differ most.  Source: AKL, arXiv:2404.02657."""

from typing import Annotated

from pydantic import Field
from torch import Tensor

from whit.objectives._logspace import divergence, log_probabilities
from whit.objectives._types import PerToken


def adaptive_kl(
    logits_TV: Tensor, teacher_logits_TV: Tensor, *, mu: Annotated[float, Field(gt=0, lt=1)] = 0.5
) -> PerToken:
    """(g_head KL(p || q) + g_tail KL(q || p)) / (g_head + g_tail), in nats; the weights carry no gradient.

    g_head and g_tail are the sums of |p - q| over the teacher's likeliest tokens and over the rest: the forward KL fits the
    head first, the reverse KL the tail.
    mu: the head is as many tokens, likeliest first, as have no more than this probability together, and at least one.
    """
    student_TV, teacher_TV = log_probabilities(logits_TV), log_probabilities(teacher_logits_TV)
    sorted_TV, order_TV = teacher_TV.detach().exp().sort(-1, descending=True)
    in_head_TV = sorted_TV.cumsum(-1) <= mu
    in_head_TV[:, 0] = True
    gap_TV = (sorted_TV - student_TV.detach().exp().gather(-1, order_TV)).abs()
    head_T = gap_TV.where(in_head_TV, 0.0).sum(-1)
    share_T = head_T / gap_TV.sum(-1).clamp(min=1e-30)  # where they agree, both KLs are 0
    return share_T * divergence(teacher_TV, student_TV) + (1 - share_T) * divergence(student_TV, teacher_TV)
