"""Forward KL to a teacher that is mixed into the student.  Source: DistiLLM, arXiv:2402.03898."""

from typing import Annotated

from pydantic import Field
from torch import Tensor

from whit.kernels.divergence import fused
from whit.objectives._logspace import divergence, log_probabilities, mixture
from whit.objectives._types import PerToken


@fused
def skew_kl(
    logits_TV: Tensor, teacher_logits_TV: Tensor, *, alpha: Annotated[float, Field(ge=0, lt=1)] = 0.1
) -> PerToken:
    """KL(p || alpha p + (1 - alpha) q), p the teacher's and q the student's distribution, in nats.

    alpha: how much of the teacher is mixed into the student; it bounds the value by -log(alpha). 0 is the forward KL.
    """
    student_TV, teacher_TV = log_probabilities(logits_TV), log_probabilities(teacher_logits_TV)
    if alpha == 0:
        return divergence(teacher_TV, student_TV)
    return divergence(teacher_TV, mixture(teacher_TV, student_TV, alpha))
