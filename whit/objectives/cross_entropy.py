"""Negative log-likelihood of the label: what SFT and pre-training minimise."""

from torch import Tensor

from whit.objectives._types import PerToken


def cross_entropy(logprobs_T: Tensor) -> PerToken:
    """Minus the log-probability of each label, in nats; the same as one-hot cross-entropy of the logits."""
    return -logprobs_T
