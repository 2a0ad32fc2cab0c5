"""Generalised Jensen-Shannon divergence between teacher and student.  Source: GKD, arXiv:2306.13649."""

from typing import Annotated

from pydantic import Field
from torch import Tensor

from whit.kernels.divergence import fused
from whit.objectives._logspace import jensen_shannon, log_probabilities
from whit.objectives._types import PerToken


@fused
def generalised_jsd(
    logits_TV: Tensor,
    teacher_logits_TV: Tensor,
    *,
    beta: Annotated[float, Field(ge=0, le=1)] = 0.5,
    temperature: Annotated[float, Field(gt=0)] = 1.0,
) -> PerToken:
    """beta KL(p || m) + (1 - beta) KL(q || m) with m = beta p + (1 - beta) q, p the teacher's, q the student's, in nats.

    beta: towards 0 it behaves like the forward KL, towards 1 like the reverse KL, but its size goes to 0 at both ends. At 0
        and 1 it is these KLs themselves, as in TRL, so the scale jumps there: values of two betas cannot be compared.
    temperature: softens both; the loss is multiplied by its square (DistillKit does, GKD has none).
    """
    student_TV = log_probabilities(logits_TV, temperature)
    teacher_TV = log_probabilities(teacher_logits_TV, temperature)
    return temperature**2 * jensen_shannon(teacher_TV, student_TV, beta)
