"""Teachers: where the teacher's signals of a micro-batch come from. A live model, several of them, one of another
tokenizer, or what a cache kept of one.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from typing import Protocol

import torch
from torch import Tensor

from whit.core.flops import forward_flops
from whit.data.batch import Batch, Document, collate
from whit.data.sharing import work
from whit.kernels.log_prob import log_prob
from whit.models.attention import Packed
from whit.models.causal import CausalLM
from whit.models.watch import watched_layers


class TeacherRows(Protocol):
    """What a teacher says of the supervised rows of one micro-batch."""

    def signals(self, rows: slice, named: set[str]) -> dict[str, Tensor]:
        """The signals that are named, of a slice of the rows."""
        ...


class Teacher(Protocol):
    """Interface of a teacher. gives: the signals that it can make."""

    @property
    def gives(self) -> frozenset[str]: ...
    def rows(self, batch: Batch) -> TeacherRows:
        """Its forward pass over a micro-batch, if it has one; without gradient."""
        ...

    def flops(self, documents: Sequence[Document]) -> float:
        """Operations that it takes for these documents."""
        ...


@dataclass(frozen=True)
class Live:
    """Models that score the student's own tokens.

    shares: of each model in the mixture of their distributions; they sum to 1.
    layers: whose hidden states `teacher_hidden_TLE` holds, of the first model.
    within: what the models run inside of, such as a policy that is its own teacher without its adapters.
    """

    models: tuple[CausalLM, ...]
    shares: tuple[float, ...] = (1.0,)
    layers: tuple[int, ...] = ()
    within: Callable[[], AbstractContextManager[None]] = nullcontext

    @property
    def gives(self) -> frozenset[str]:
        hidden = {"teacher_hidden_TLE"} if self.layers else set()
        return frozenset({"teacher_logits_TV", "teacher_logprobs_T"} | hidden)

    @torch.no_grad()
    def rows(self, batch: Batch) -> "_LiveRows":
        hidden: list[Tensor] = []
        states_TLE = None
        for number, model in enumerate(self.models):
            with self.within(), watched_layers(model, self.layers if number == 0 else ()) as seen:
                hidden.append(supervised_states(model, batch, clean=True))
            if seen:
                states_TLE = torch.stack([state_LD[batch.source_T] for state_LD in seen], 1)
        return _LiveRows(self, hidden, states_TLE, batch.labels_T)

    def flops(self, documents: Sequence[Document]) -> float:
        tokens, scored, pairs = work(documents)
        return sum(forward_flops(model.config.shape, tokens, scored, pairs) for model in self.models)


@dataclass(frozen=True)
class _LiveRows:
    teacher: Live
    hidden: list[Tensor]
    states_TLE: Tensor | None
    labels_T: Tensor

    @torch.no_grad()
    def signals(self, rows: slice, named: set[str]) -> dict[str, Tensor]:
        found: dict[str, Tensor] = {}
        if named & {"teacher_logits_TV", "teacher_logprobs_T"}:
            logits_TV = self._logits(rows)
            found["teacher_logits_TV"] = logits_TV
            if "teacher_logprobs_T" in named:
                found["teacher_logprobs_T"], _ = log_prob(logits_TV, self.labels_T[rows])
        if "teacher_hidden_TLE" in named:
            assert self.states_TLE is not None
            found["teacher_hidden_TLE"] = self.states_TLE[rows]
        return found

    def _logits(self, rows: slice) -> Tensor:
        """Of one model its own; of several the logarithm of the mixture of their probabilities."""
        each = [
            model.logits(hidden_TD[rows]) for model, hidden_TD in zip(self.teacher.models, self.hidden, strict=True)
        ]
        if len(each) == 1:
            return each[0]
        width = min(logits_TV.shape[-1] for logits_TV in each)
        mixed_TV = None
        for logits_TV, share in zip(each, self.teacher.shares, strict=True):
            precise = torch.promote_types(logits_TV.dtype, torch.float32)
            weighted_TV = logits_TV[:, :width].to(precise).log_softmax(-1) + math.log(share)
            mixed_TV = weighted_TV if mixed_TV is None else torch.logaddexp(mixed_TV, weighted_TV)
        assert mixed_TV is not None
        return mixed_TV


@dataclass(frozen=True)
class Kept:
    """The likeliest tokens that a cache kept, spread out again: `teacher_logits_TV` for objectives that want all of them.

    The mass of the other tokens is shared out evenly (TinyViT, arXiv:2207.10666). Costs no operations: the cache has.
    """

    vocab_size: int

    @property
    def gives(self) -> frozenset[str]:
        return frozenset({"teacher_logits_TV"})

    def rows(self, batch: Batch) -> "_KeptRows":
        return _KeptRows(self.vocab_size, batch.recorded)

    def flops(self, documents: Sequence[Document]) -> float:
        return 0.0


@dataclass(frozen=True)
class _KeptRows:
    vocab_size: int
    recorded: Mapping[str, Tensor]

    def signals(self, rows: slice, named: set[str]) -> dict[str, Tensor]:
        if "teacher_logits_TV" not in named:
            return {}
        ids_TK, logprobs_TK = self.recorded["kept_ids_TK"][rows].long(), self.recorded["kept_logprobs_TK"][rows]
        return {"teacher_logits_TV": spread_out(ids_TK, logprobs_TK, self.vocab_size)}


def spread_out(ids_TK: Tensor, logprobs_TK: Tensor, vocab_size: int) -> Tensor:
    """Log-probabilities [T, V] in which the tokens that are not kept share the rest evenly. Unused places have -inf."""
    used_TK = ~logprobs_TK.isneginf()
    others_T1 = (vocab_size - used_TK.sum(-1, keepdim=True)).clamp(min=1)
    rest_T1 = (1 - logprobs_TK.exp().sum(-1, keepdim=True)).clamp(min=1e-8)  # rounding may pass 1
    full_TV = (rest_T1 / others_T1).log().expand(-1, vocab_size).clone()
    # Unused places repeat the first one: writing it again changes nothing.
    ids_TK = ids_TK.where(used_TK, ids_TK[:, :1])
    return full_TV.scatter_(1, ids_TK, logprobs_TK.where(used_TK, logprobs_TK[:, :1]))


@dataclass(frozen=True)
class OtherTokens:
    """A model with another tokenizer, which reads the twin of each document: the same text in its own tokens.

    common_ids_C, teacher_common_ids_C: ids of the tokens that stand for the same bytes in both vocabularies.
    """

    model: CausalLM
    common_ids_C: Tensor
    teacher_common_ids_C: Tensor
    gives: frozenset[str] = field(
        default=frozenset({"teacher_group_logprobs_GW", "common_ids_C", "teacher_common_ids_C"}), init=False
    )

    @property
    def vocab_size(self) -> int:
        return self.model.head().weight.shape[0]

    @torch.no_grad()
    def rows(self, batch: Batch) -> "_OtherRows":
        twins = collate(batch.twins, batch.tokens_L.device)
        return _OtherRows(self, supervised_states(self.model, twins), twins.labels_T, batch.groups)

    def flops(self, documents: Sequence[Document]) -> float:
        tokens, scored, pairs = work([document.twin.document for document in documents if document.twin])
        return forward_flops(self.model.config.shape, tokens, scored, pairs)


@dataclass(frozen=True)
class _OtherRows:
    teacher: OtherTokens
    hidden_UD: Tensor
    labels_U: Tensor
    groups: Tensor

    @torch.no_grad()
    def signals(self, rows: slice, named: set[str]) -> dict[str, Tensor]:
        if not named & self.teacher.gives:
            return {}
        inside_G = groups_in(self.groups, rows)
        first_G, size_G = inside_G[:, 2], inside_G[:, 3]
        if len(first_G):
            start, end = int(first_G[0]), int(first_G[-1] + size_G[-1])
        else:
            start = end = 0
        logits_UW = self.teacher.model.logits(self.hidden_UD[start:end])
        return {
            "teacher_group_logprobs_GW": merged(logits_UW, self.labels_U[start:end], first_G - start, size_G),
            "common_ids_C": self.teacher.common_ids_C, "teacher_common_ids_C": self.teacher.teacher_common_ids_C,
        }  # fmt: skip


def groups_in(groups_G4: Tensor, rows: slice) -> Tensor:
    """The groups whose first row is in the slice. Chunks are cut where groups begin, so they are in it whole."""
    return groups_G4[(groups_G4[:, 0] >= rows.start) & (groups_G4[:, 0] < rows.stop)]


def merged(logits_TV: Tensor, labels_T: Tensor, first_G: Tensor, size_G: Tensor) -> Tensor:
    """log of the chain-rule merge of each group: its first token's distribution times the others' probabilities [G, V].

    Rows that belong to no group are left out. Source: TRL's GOLD, strategy "observed".
    """
    precise = torch.promote_types(logits_TV.dtype, torch.float32)
    logprobs_TV = logits_TV.to(precise).log_softmax(-1)
    chosen_T = logprobs_TV.gather(-1, labels_T[:, None])[:, 0]
    more_G = size_G - 1
    group_R = torch.repeat_interleave(
        torch.arange(len(size_G), device=size_G.device), more_G
    )  # of each following token
    place_R = torch.arange(len(group_R), device=size_G.device) - (more_G.cumsum(0) - more_G)[group_R]
    following_R = chosen_T[first_G[group_R] + 1 + place_R]
    following_G = chosen_T.new_zeros(len(size_G)).index_add(0, group_R, following_R)
    return logprobs_TV[first_G] + following_G[:, None]


def supervised_states(decoder: CausalLM, batch: Batch, *, clean: bool = False) -> Tensor:
    """The hidden states [T, D] that predict the supervised tokens. clean: of a model that reads what is not hidden."""
    attention = Packed(batch.lengths, batch.tokens_L.device, prefixes=batch.prefixes)
    hidden_LD: Tensor = decoder(batch.clean_L if clean else batch.tokens_L, batch.positions_L, attention)
    return hidden_LD.index_select(0, batch.source_T)
