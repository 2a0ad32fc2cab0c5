"""Forward and reverse KL, weighted.  Source: the code of DistiLLM, arXiv:2402.03898."""

from typing import Annotated

from pydantic import Field
from torch import Tensor

from whit.kernels.divergence import fused
from whit.objectives._logspace import divergence, log_probabilities
from whit.objectives._types import PerToken


@fused
def symmetric_kl(
    logits_TV: Tensor,
    teacher_logits_TV: Tensor,
    *,
    alpha: Annotated[float, Field(ge=0, le=1)] = 0.9,
    temperature: Annotated[float, Field(gt=0)] = 1.0,
) -> PerToken:
    """(1 - alpha) KL(p || q) + alpha KL(q || p), p the teacher's and q the student's distribution, in nats.

    alpha: the share of the reverse KL; 0.9 in DistiLLM's code.
    temperature: softens both; the loss is multiplied by its square.
    """
    student_TV = log_probabilities(logits_TV, temperature)
    teacher_TV = log_probabilities(teacher_logits_TV, temperature)
    forward_T, reverse_T = divergence(teacher_TV, student_TV), divergence(student_TV, teacher_TV)
    return temperature**2 * ((1 - alpha) * forward_T + alpha * reverse_T)
