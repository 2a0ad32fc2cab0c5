"""Log-probabilities as the objectives use them."""

import torch
from torch import Tensor


def log_probabilities(logits_TV: Tensor, temperature: float = 1.0) -> Tensor:
    """log softmax(logits / temperature), in float32; float64 stays float64, so that tests can be exact."""
    precise_TV = logits_TV.to(torch.promote_types(logits_TV.dtype, torch.float32))
    return (precise_TV / temperature).log_softmax(-1)
