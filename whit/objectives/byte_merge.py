"""Tokens that two vocabularies share, compared one by one, and the others sorted.  Source: GOLD, TRL."""

from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor

from whit.objectives._logspace import jensen_shannon
from whit.objectives._types import PerToken
from whit.objectives.uld import sorted_distance


def byte_merge(
    group_logprobs_GV: Tensor,
    teacher_group_logprobs_GW: Tensor,
    common_ids_C: Tensor,
    teacher_common_ids_C: Tensor,
    *,
    beta: Annotated[float, Field(ge=0, le=1)] = 0.0,
    matched_weight: Annotated[float, Field(ge=0, le=1)] | None = None,
) -> PerToken:
    """matched x JSD of the common tokens + (1 - matched) x ULD of the others, a value a group of aligned bytes.

    The distributions are merged by the chain rule: that of a group's first token times the probability of its following
    tokens. So a group's row sums to 1 only where it is one token, and the value may be below 0.
    common_ids_C, teacher_common_ids_C: ids of the tokens whose bytes stand in both vocabularies, in the same order.
    beta: 0 the forward KL, 1 the reverse KL, between them the generalised JSD.
    matched_weight: None takes the share of the teacher's vocabulary that is common, as TRL does.
    """
    teacher_GC = teacher_group_logprobs_GW[:, teacher_common_ids_C]
    student_GC = group_logprobs_GV[:, common_ids_C]
    matched_G = jensen_shannon(teacher_GC, student_GC, beta)
    share = (
        len(teacher_common_ids_C) / teacher_group_logprobs_GW.shape[-1] if matched_weight is None else matched_weight
    )
    others_G = sorted_distance(
        _without(group_logprobs_GV, common_ids_C), _without(teacher_group_logprobs_GW, teacher_common_ids_C)
    )
    return share * matched_G + (1 - share) * others_G


def _without(logprobs_GV: Tensor, ids_C: Tensor) -> Tensor:
    """Probabilities of the tokens that are not common."""
    is_other_V = torch.ones(logprobs_GV.shape[-1], dtype=torch.bool, device=logprobs_GV.device)
    is_other_V[ids_C] = False
    return logprobs_GV[:, is_other_V].exp()
