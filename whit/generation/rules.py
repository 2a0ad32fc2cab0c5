"""How two models that write one text agree on its next token."""

import torch
import torch.nn.functional as F  # noqa: N812
from pydantic import Field
from torch import Tensor

from whit.core.settings import Frozen
from whit.generation.duet import Chosen, Draw, Rule


class Proposals(Frozen):
    """How the teacher proposes and the student accepts, in reverse speculative decoding; the defaults are the code's.

    threshold: the student's own probability, at temperature 1, that a token needs; 0 takes all, above 1 none.
    trials: proposals before the student writes its own token; 1 is the paper's plain form.
    top_k, top_p, temperature: of the proposals, and top_k and temperature of the student's own token.
    """

    threshold: float = Field(0.01, ge=0)
    trials: int = Field(5, ge=1, le=15)
    top_k: int = Field(20, ge=1)
    top_p: float = Field(0.95, gt=0, le=1)
    temperature: float = Field(0.7, gt=0)


def reverse_speculative(settings: Proposals, *, end_of_turn: int, teacher_ends: frozenset[int] = frozenset()) -> Rule:
    """The teacher proposes, and the student takes a token only if it is likely enough to itself; else it writes its own.

    The student's probability is exact: that a token stands among its 20 likeliest, as servers tell them, is not asked for.
    end_of_turn, teacher_ends: a proposal that would end the teacher's turn ends the student's.
    Source: RSD, arXiv:2509.22230, and its author's code.
    """

    def rule(student_BV: Tensor, teacher_BV: Tensor, uniform: Draw) -> Chosen:
        width = min(student_BV.shape[-1], teacher_BV.shape[-1])  # ids that only the teacher has are not proposed
        student_lps_BV = student_BV.float().log_softmax(-1)
        ids_BK, lps_BK = _kept(teacher_BV[:, :width].float(), settings.top_k, settings.top_p, settings.temperature)
        own_BK, own_lps_BK = _kept(student_BV.float(), settings.top_k, 1.0, settings.temperature)
        chosen_B1, lps_B1 = _drawn(own_BK, own_lps_BK, uniform(settings.trials))
        is_teachers_B1 = torch.zeros_like(chosen_B1, dtype=torch.bool)
        for trial in reversed(range(settings.trials)):  # the first that is accepted is written last, and stays
            proposed_B1, proposed_lps_B1 = _drawn(ids_BK, lps_BK, uniform(trial))
            for end in teacher_ends:
                proposed_B1 = proposed_B1.where(proposed_B1 != end, end_of_turn)
            accepts_B1 = student_lps_BV.gather(-1, proposed_B1).exp() >= settings.threshold
            chosen_B1, lps_B1 = proposed_B1.where(accepts_B1, chosen_B1), proposed_lps_B1.where(accepts_B1, lps_B1)
            is_teachers_B1 = is_teachers_B1 | accepts_B1
        return _told(chosen_B1, lps_B1, student_lps_BV, _padded(teacher_BV, student_BV), is_teachers_B1)

    return rule


def mixed(share: float) -> Rule:
    """Tokens drawn from share x teacher + (1 - share) x student, of probabilities.  Source: MiniLLM, arXiv:2306.08543."""

    def rule(student_BV: Tensor, teacher_BV: Tensor, uniform: Draw) -> Chosen:
        student_lps_BV, teacher_lps_BV = student_BV.float().log_softmax(-1), _padded(teacher_BV, student_BV)
        mass_BV = (1 - share) * student_lps_BV.exp() + share * teacher_lps_BV.exp()
        upto_BV = mass_BV.double().cumsum(-1)
        target_B1 = uniform(0)[:, None].to(upto_BV) * upto_BV[:, -1:]
        chosen_B1 = torch.searchsorted(upto_BV, target_B1, right=True).clamp(max=mass_BV.shape[-1] - 1)
        lps_B1 = mass_BV.gather(-1, chosen_B1).log()
        nobody_B1 = torch.zeros_like(chosen_B1, dtype=torch.bool)
        return _told(chosen_B1, lps_B1, student_lps_BV, teacher_lps_BV, nobody_B1)

    return rule


def _told(ids_B1: Tensor, lps_B1: Tensor, student_BV: Tensor, teacher_BV: Tensor, is_teachers_B1: Tensor) -> Chosen:
    """The tokens, with what both models say of them."""
    student_B1, teacher_B1 = student_BV.gather(-1, ids_B1), teacher_BV.gather(-1, ids_B1)
    return Chosen(ids_B1[:, 0], lps_B1[:, 0], student_B1[:, 0], teacher_B1[:, 0], is_teachers_B1[:, 0])


def _padded(logits_BV: Tensor, like_BV: Tensor) -> Tensor:
    """The teacher's log-probabilities of the student's ids: of those that both have, as heads are padded differently."""
    width = like_BV.shape[-1]
    lps_BV = logits_BV[:, :width].float().log_softmax(-1)
    return F.pad(lps_BV, (0, width - lps_BV.shape[-1]), value=-torch.inf)


def _kept(logits_BV: Tensor, top_k: int, top_p: float, temperature: float) -> tuple[Tensor, Tensor]:
    """Ids of the likeliest tokens, and their log-probabilities among themselves; -inf beyond top_p."""
    top_BK, ids_BK = logits_BV.topk(min(top_k, logits_BV.shape[-1]), -1)
    shares_BK = (top_BK / temperature).softmax(-1)
    before_BK = shares_BK.cumsum(-1) - shares_BK
    return ids_BK, shares_BK.where(before_BK < top_p, 0.0).log().log_softmax(-1)


def _drawn(ids_BK: Tensor, lps_BK: Tensor, uniform_B: Tensor) -> tuple[Tensor, Tensor]:
    """One id of each row, [B, 1], and its log-probability."""
    upto_BK = lps_BK.double().exp().cumsum(-1)
    target_B1 = uniform_B[:, None].to(upto_BK) * upto_BK[:, -1:]
    place_B1 = torch.searchsorted(upto_BK, target_B1, right=True).clamp(max=ids_BK.shape[-1] - 1)
    return ids_BK.gather(-1, place_B1), lps_BK.gather(-1, place_B1)
