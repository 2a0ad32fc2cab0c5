"""Forward KL to tokens drawn from the teacher: unbiased from a few of them.  Source: RS-KD, arXiv:2503.16870."""

from torch import Tensor

from whit.objectives._logspace import log_probabilities
from whit.objectives._types import PerToken


def sampled_kl(logits_TV: Tensor, kept_ids_TK: Tensor, kept_shares_TK: Tensor) -> PerToken:
    """sum t (log t - log q) over the drawn tokens, t being their share among the draws, in nats.

    The mean of t over draws is the teacher's distribution, so the mean of the gradient is that of the forward KL. The value
    is not: the entropy of t is smaller than the teacher's.
    kept_shares_TK: they sum to 1; a place that is not used has 0.
    """
    student_TK = log_probabilities(logits_TV).gather(-1, kept_ids_TK.long())
    shares_TK = kept_shares_TK.to(student_TK.dtype)
    return (shares_TK.xlogy(shares_TK) - shares_TK * student_TK.where(shares_TK > 0, 0.0)).sum(-1)
