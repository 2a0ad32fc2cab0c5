"""Total variation distance between teacher and student.  Source: f-DISTILL, as given in arXiv:2501.16937."""

from typing import Annotated

from pydantic import Field
from torch import Tensor

from whit.kernels.divergence import fused
from whit.objectives._logspace import log_probabilities
from whit.objectives._types import PerToken


@fused
def total_variation(
    logits_TV: Tensor, teacher_logits_TV: Tensor, *, temperature: Annotated[float, Field(gt=0)] = 1.0
) -> PerToken:
    """half of sum |p - q|, between 0 and 1: the probability mass that would have to move.

    temperature: softens both; the value is multiplied by its square (DistillKit does).
    """
    student_TV = log_probabilities(logits_TV, temperature)
    teacher_TV = log_probabilities(teacher_logits_TV, temperature)
    return temperature**2 * 0.5 * (teacher_TV.exp() - student_TV.exp()).abs().sum(-1)
