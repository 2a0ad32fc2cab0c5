"""Mean squared distance of hidden states through a learned projection.  Source: FitNets, arXiv:1412.6550."""

import torch
from torch import Tensor

from whit.objectives._types import PerToken


def hidden_mse(hidden_TLE: Tensor, teacher_hidden_TLE: Tensor) -> PerToken:
    """Mean over the teacher's width, and over the pairs of layers, of the squared difference.

    hidden_TLE: the student's states, already in the teacher's width.
    """
    precise = torch.promote_types(hidden_TLE.dtype, torch.float32)
    return (hidden_TLE.to(precise) - teacher_hidden_TLE.to(precise)).pow(2).mean((-1, -2))
