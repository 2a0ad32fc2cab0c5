"""Reverse KL to a teacher into which the student is mixed.  Source: DistiLLM, arXiv:2402.03898."""

from typing import Annotated

from pydantic import Field
from torch import Tensor

from whit.kernels.divergence import fused
from whit.objectives._logspace import divergence, log_probabilities, mixture
from whit.objectives._types import PerToken


@fused
def skew_reverse_kl(
    logits_TV: Tensor,
    teacher_logits_TV: Tensor,
    *,
    alpha: Annotated[float, Field(ge=0, lt=1)] = 0.1,
    detach_mixture: bool = False,
) -> PerToken:
    """KL(q || (1 - alpha) p + alpha q), p the teacher's and q the student's distribution, in nats.

    alpha: how much of the student is mixed into the teacher; 0 is the reverse KL.
    detach_mixture: no gradient through the student inside the mixture, as in DistiLLM-2 (arXiv:2503.07067).
    """
    student_TV, teacher_TV = log_probabilities(logits_TV), log_probabilities(teacher_logits_TV)
    if alpha == 0:
        return divergence(student_TV, teacher_TV)
    inside_TV = student_TV.detach() if detach_mixture else student_TV
    return divergence(student_TV, mixture(inside_TV, teacher_TV, alpha))
