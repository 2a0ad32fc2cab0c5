"""Distance of sorted probabilities, for teachers of another tokenizer.  Source: ULD, arXiv:2402.12030."""

import torch.nn.functional as F  # noqa: N812
from torch import Tensor

from whit.objectives._types import PerToken


def uld(group_logprobs_GV: Tensor, teacher_group_logprobs_GW: Tensor) -> PerToken:
    """sum |p - q| of both distributions in falling order, the shorter one filled with zeros: between 0 and 2 a group.

    It does not look at which token has which probability: a weak regulariser beside cross-entropy (the paper's weight is
    1.5). A group is a place where both tokenizations of a text stand at the same byte, or index: the stage says which.
    """
    return sorted_distance(group_logprobs_GV.exp(), teacher_group_logprobs_GW.exp())


def sorted_distance(student_GV: Tensor, teacher_GW: Tensor) -> Tensor:
    """L1 distance [G] of the values in falling order."""
    width = max(student_GV.shape[-1], teacher_GW.shape[-1])
    ours, theirs = (
        F.pad(values.sort(-1, descending=True).values, (0, width - values.shape[-1]))
        for values in (student_GV, teacher_GW)
    )
    return (ours - theirs).abs().sum(-1)
