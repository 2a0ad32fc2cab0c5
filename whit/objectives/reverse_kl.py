"""KL divergence from the student to the teacher over the whole vocabulary.  Source: arXiv:2306.08543."""

from typing import Annotated

from pydantic import Field
from torch import Tensor

from whit.kernels.divergence import fused
from whit.objectives._logspace import divergence, log_probabilities
from whit.objectives._types import PerToken


@fused
def reverse_kl(
    logits_TV: Tensor, teacher_logits_TV: Tensor, *, temperature: Annotated[float, Field(gt=0)] = 1.0
) -> PerToken:
    """sum q (log q - log p), p the teacher's and q the student's distribution, in nats.

    temperature: softens both; the loss is multiplied by its square, which keeps the size of the gradient.
    """
    student_TV = log_probabilities(logits_TV, temperature)
    teacher_TV = log_probabilities(teacher_logits_TV, temperature)
    return temperature**2 * divergence(student_TV, teacher_TV)
