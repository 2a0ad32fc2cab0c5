"""Angle between hidden states through a learned projection.  Source: DistilBERT, arXiv:1910.01108."""

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

from whit.objectives._types import PerToken


def hidden_cosine(hidden_TLE: Tensor, teacher_hidden_TLE: Tensor) -> PerToken:
    """1 minus the cosine between student and teacher, mean over the pairs of layers: between 0 and 2.

    hidden_TLE: the student's states, already in the teacher's width.
    """
    precise = torch.promote_types(hidden_TLE.dtype, torch.float32)
    return (1 - F.cosine_similarity(hidden_TLE.to(precise), teacher_hidden_TLE.to(precise), dim=-1)).mean(-1)
