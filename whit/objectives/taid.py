"""Forward KL to a target on the way from the student to the teacher.  Source: TAID, arXiv:2501.16937."""

from torch import Tensor

from whit.kernels.divergence import fused
from whit.objectives._logspace import log_probabilities
from whit.objectives._types import PerToken


@fused
def taid(logits_TV: Tensor, teacher_logits_TV: Tensor, interpolation: float) -> PerToken:
    """-sum p_t log q with p_t = softmax((1 - t) student + t teacher), of logits, in nats; no gradient through p_t.

    interpolation: t, between 0 (the student: no gradient) and 1 (the teacher); `training/interpolation.py` moves it.
    The value is the cross-entropy form, KL(p_t || q) plus the entropy of p_t, which the paper's controller looks at.
    """
    student_TV = log_probabilities(logits_TV)
    # Of log-probabilities instead of logits: constants of a row do not matter to a softmax.
    mixed_TV = (1 - interpolation) * student_TV.detach() + interpolation * log_probabilities(teacher_logits_TV)
    target_TV = mixed_TV.softmax(-1)
    return -(target_TV * student_TV.masked_fill(target_TV == 0, 0.0)).sum(-1)  # 0 log 0 = 0
