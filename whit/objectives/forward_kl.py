"""KL divergence from the teacher to the student over the whole vocabulary.  Source: arXiv:1503.02531."""

from typing import Annotated

from pydantic import Field
from torch import Tensor

from whit.kernels.divergence import fused
from whit.objectives._logspace import divergence, log_probabilities
from whit.objectives._types import PerToken


@fused
def forward_kl(
    logits_TV: Tensor, teacher_logits_TV: Tensor, *, temperature: Annotated[float, Field(gt=0)] = 1.0
) -> PerToken:
    """sum p (log p - log q), p the teacher's and q the student's distribution, in nats.

    temperature: softens both; the loss is multiplied by its square, which keeps the size of the gradient.
    """
    student_TV = log_probabilities(logits_TV, temperature)
    teacher_TV = log_probabilities(teacher_logits_TV, temperature)
    return temperature**2 * divergence(teacher_TV, student_TV)
