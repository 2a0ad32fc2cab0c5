"""From hidden states to the loss: the signals that objectives name, made once per micro-batch, chunk by chunk.

A signal is computed only if some objective's signature names it. Rows go through the
head in chunks, and each chunk's gradient is taken at once: logits of all tokens never exist together.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

from whit.core.parts import inputs
from whit.data.batch import Batch
from whit.kernels.log_prob import log_prob
from whit.models.causal import CausalLM
from whit.models.watch import watched_layers
from whit.objectives._types import Term
from whit.training.chunks import row_chunks, whole_groups
from whit.training.guide import GUIDED, Guide
from whit.training.layers import Projections
from whit.training.optim import Optimizer
from whit.training.sums import Sums
from whit.training.teachers import Kept, OtherTokens, Teacher, groups_in, merged, supervised_states
from whit.training.values import ValueHead
from whit.training.vocabulary import TAUGHT
from whit.training.weights import spread


@dataclass(frozen=True)
class Forward:
    """The models of a step.

    teacher: makes the teacher's signals, without gradient.
    interpolation: gives the number that TAID's target stands at.
    layers, projections: whose hidden states are compared with the teacher's, and the maps to its width; or, with `guide`,
        with its directions.
    values: the head that makes `values_T` of the policy's last hidden states.
    temperature: of the policy's log-probabilities: the one that its completions were sampled at.
    chunk_bytes: size of the logits that exist at once, counted in float32; it bounds memory and cannot change the result.
        0 takes what suits the device.
    """

    policy: CausalLM
    teacher: Teacher | None = None
    temperature: float = 1.0
    chunk_bytes: int = 0
    interpolation: Callable[[], float] | None = None
    layers: tuple[int, ...] = ()
    projections: Projections | None = None
    guide: Guide | None = None
    values: ValueHead | None = None


def accumulate(
    forward: Forward,
    batch: Batch,
    terms: Sequence[Term],
    weights: dict[str, list[float]],
    optimizer: Optimizer,
    progress: float,
) -> Sums:
    """The gradient of one micro-batch, added to the optimizer's. Returns the weighted sum of each term.

    weights: by term, the weight of a supervised token of each document (see `weights.token_weights`).
    """
    policy = forward.policy
    with watched_layers(policy, forward.layers) as seen:
        hidden_TD = supervised_states(policy, batch)
    states_TLD = torch.stack([state_LD[batch.source_T] for state_LD in seen], 1) if seen else None
    chunker = _Chunks(forward, batch, hidden_TD.detach(), states_TLD, optimizer, progress)
    dtype = torch.promote_types(hidden_TD.dtype, torch.float32)
    weights_T = {
        term.name: term.coefficient(progress) * spread(weights[term.name], batch.sequence_T, dtype) for term in terms
    }
    chunked = [term for term in terms if "sequence_T" not in inputs(term.objective)]
    whole = [term for term in terms if "sequence_T" in inputs(term.objective)]
    sums = Sums()
    extra = _whole_gradients(chunker, whole, weights_T, sums) if whole else None
    gradient_TD = chunker.gradients(chunked, weights_T, sums, extra)
    if states_TLD is None:
        hidden_TD.backward(gradient_TD)  # type: ignore[no-untyped-call]
    else:
        torch.autograd.backward((hidden_TD, states_TLD), (gradient_TD, chunker.gradient_TLD))  # type: ignore[no-untyped-call]
    optimizer.collect()
    return sums


@torch.no_grad()
def score(decoder: CausalLM, batch: Batch, temperature: float = 1.0) -> tuple[Tensor, Tensor]:
    """Log-probabilities and entropies [T] of the labels, in nats, without gradient."""
    return score_states(decoder, supervised_states(decoder, batch), batch, temperature)


@torch.no_grad()
def score_states(decoder: CausalLM, hidden_TD: Tensor, batch: Batch, temperature: float) -> tuple[Tensor, Tensor]:
    """What `score` gives, from the hidden states that predict the labels."""
    parts = [
        log_prob(decoder.logits(hidden_TD[rows]), batch.labels_T[rows], temperature)
        for rows in row_chunks(hidden_TD.shape[0], decoder)
    ]
    if not parts:
        return hidden_TD.new_zeros(0), hidden_TD.new_zeros(0)
    return torch.cat([lp for lp, _ in parts]), torch.cat([h for _, h in parts])


class _Chunks:
    """The rows of one micro-batch on their way through the head."""

    def __init__(
        self, forward: Forward, batch: Batch, hidden_TD: Tensor, states_TLD: Tensor | None, optimizer: Optimizer,
        progress: float,
    ):  # fmt: skip
        self.forward, self.batch, self.hidden_TD = forward, batch, hidden_TD
        self.optimizer, self.progress = optimizer, progress
        self.states_TLD = None if states_TLD is None else states_TLD.detach()
        self.gradient_TLD = None if states_TLD is None else torch.zeros_like(states_TLD)
        self.valued_TD = None if forward.values is None else torch.zeros_like(hidden_TD)
        self.taught = forward.teacher.rows(batch) if forward.teacher is not None else None

    @torch.no_grad()  # or a product with the head's weight would keep every chunk's gradient for a pass that never comes
    def gradients(
        self, terms: Sequence[Term], weights_T: dict[str, Tensor], sums: Sums, extra: tuple[Tensor, Tensor] | None
    ) -> Tensor:
        """The gradient of the hidden states; the head's goes to the optimizer.

        extra: gradients of logprobs_T and entropy_T that whole-sequence terms ask for.
        """
        decoder, (weight_VD, _, bias_V) = self.forward.policy, self.forward.policy.head()
        gradient_TD = torch.zeros_like(self.hidden_TD)
        named = {name for term in terms for name in inputs(term.objective)}
        reads_logits = any(name.endswith(("_TV", "_GV")) for name in named)
        for rows in self._rows(decoder, reads_logits=reads_logits):
            # The logits of one chunk are gone before the next are made: a call of its own forgets what it made.
            grad_TV = self._logit_gradient(rows, terms, named, weights_T, sums, extra)
            gradient_TD[rows] = grad_TV @ weight_VD
            if weight_VD.requires_grad:
                self.optimizer.add_product(weight_VD, grad_TV, self.hidden_TD[rows])
            if bias_V is not None and bias_V.requires_grad:
                self.optimizer.add_gradient(bias_V, grad_TV.sum(0))
            del grad_TV
        return gradient_TD if self.valued_TD is None else gradient_TD + self.valued_TD

    def _logit_gradient(
        self, rows: slice, terms: Sequence[Term], named: set[str], weights_T: dict[str, Tensor], sums: Sums,
        extra: tuple[Tensor, Tensor] | None,
    ) -> Tensor:  # fmt: skip
        """The gradient of the logits of these rows."""
        decoder, (weight_VD, _, bias_V) = self.forward.policy, self.forward.policy.head()
        with torch.enable_grad():
            raw_TV = F.linear(self.hidden_TD[rows], weight_VD, bias_V).detach().requires_grad_()
            states_TLD = None if self.states_TLD is None else self.states_TLD[rows].detach().requires_grad_()
            signals = self._signals(rows, _capped(decoder, raw_TV), states_TLD, named, force=extra is not None)
            valued_TD = None
            if "values_T" in named:
                assert self.forward.values is not None, "check_terms has looked"
                valued_TD = self.hidden_TD[rows].detach().requires_grad_()
                signals["values_T"] = self.forward.values(valued_TD)
            first_G = groups_in(self.batch.groups, rows)[:, 0] - rows.start
            total = raw_TV.new_zeros((), dtype=torch.float32)
            for term in terms:
                own_T = weights_T[term.name][rows]
                # A value a group has the weight of its first token; the weights count groups.
                own = own_T[first_G] if term.is_grouped else own_T
                value = (own * term.objective(**_named(term, signals))).sum()
                sums.add(term.name, value.detach())
                total = total + value
            if extra is not None:
                total = (
                    total
                    + (extra[0][rows] * signals["logprobs_T"]).sum()
                    + (extra[1][rows] * signals["entropy_T"]).sum()
                )
            grad_TV = self._take(total, raw_TV, states_TLD, valued_TD, rows)
        if "coordinates_TLK" in signals:
            right_TL = signals["coordinates_TLK"].argmax(-1) == signals["class_T"][:, None]
            for place, layer in enumerate(self.forward.layers):
                sums.count(f"read_out_{layer}", right_TL[:, place] & (signals["offset_T"] == 0))
        if "entropy_T" in signals:
            sums.watch("entropy", signals["entropy_T"])
            if "pass_rate_T" in signals:
                sums.watch("given_entropy", signals["entropy_T"] * (signals["pass_rate_T"] >= 0))
            if "rollout_logprobs_T" in signals:  # of the policy that sampled, engine against trainer: rounding only
                gap_T = signals["old_logprobs_T"] - signals["rollout_logprobs_T"]
                sums.watch("mismatch", gap_T.nan_to_num(0.0).abs())  # nan: text that the engine did not write
            if "reference_logprobs_T" in signals:
                sums.watch("reference_gap", signals["logprobs_T"] - signals["reference_logprobs_T"])
        return grad_TV

    def _rows(self, decoder: CausalLM, *, reads_logits: bool) -> list[slice]:
        """Chunks of rows; one never ends inside a group."""
        wide = self.forward.teacher.vocab_size if isinstance(self.forward.teacher, OtherTokens) else 0
        chunks = row_chunks(
            self.hidden_TD.shape[0], decoder, self.forward.chunk_bytes, reads_logits=reads_logits, vocab_size=wide
        )
        return whole_groups(chunks, self.batch.groups.tolist())

    def _take(
        self, total: Tensor, raw_TV: Tensor, states_TLD: Tensor | None, valued_TD: Tensor | None, rows: slice
    ) -> Tensor:
        """The gradient of the logits; those of hidden states, projections and the value head go where they belong."""
        own: list[Tensor] = []
        if states_TLD is not None:
            beside = self.forward.projections or self.forward.guide
            assert beside is not None
            own += [states_TLD, *beside.parameters()]
        if valued_TD is not None:
            assert self.forward.values is not None
            own += [valued_TD, *self.forward.values.parameters()]
        grad_TV, *grads = torch.autograd.grad(total, (raw_TV, *own), allow_unused=True, materialize_grads=True)
        for tensor, gradient in zip(own, grads, strict=True):
            if tensor is states_TLD:
                assert self.gradient_TLD is not None
                self.gradient_TLD[rows] = gradient
            elif tensor is valued_TD:
                assert self.valued_TD is not None
                self.valued_TD[rows] = gradient
            else:
                self.optimizer.add_gradient(tensor, gradient)
        return grad_TV

    def _signals(
        self, rows: slice, logits_TV: Tensor, states_TLD: Tensor | None, named: set[str], *, force: bool
    ) -> dict[str, Any]:
        batch, forward = self.batch, self.forward
        signals: dict[str, Any] = {name: values[rows] for name, values in batch.recorded.items()}
        signals |= {"labels_T": batch.labels_T[rows], "offset_T": batch.offset_T[rows], "progress": self.progress}
        signals["logits_TV"] = logits_TV
        if force or named & {"logprobs_T", "entropy_T", "old_logprobs_T"}:
            signals["logprobs_T"], signals["entropy_T"] = log_prob(logits_TV, batch.labels_T[rows], forward.temperature)
            signals.setdefault("old_logprobs_T", signals["logprobs_T"].detach())
        if "interpolation" in named:
            assert forward.interpolation is not None, "the stage gives the schedule of a term that names it"
            signals["interpolation"] = forward.interpolation()
        if "hidden_TLE" in named:
            assert forward.projections is not None and states_TLD is not None, "the stage names the layers"
            signals["hidden_TLE"] = forward.projections(states_TLD)
        if guided := named & GUIDED:
            assert forward.guide is not None and states_TLD is not None, "check_terms has looked"
            signals |= forward.guide.read(states_TLD, signals["class_T"], guided)
        if "group_logprobs_GV" in named:
            inside_G = groups_in(batch.groups, rows)
            signals["group_logprobs_GV"] = merged(
                logits_TV, batch.labels_T[rows], inside_G[:, 0] - rows.start, inside_G[:, 1]
            )
        if self.taught is not None and named & set(TAUGHT):
            signals |= self.taught.signals(rows, named)
        if isinstance(forward.teacher, Kept):  # of the columns that it was made of; a padded head has more
            signals["logits_TV"] = logits_TV[:, : forward.teacher.vocab_size]
        if "teacher_logits_TV" in signals:
            teacher_TV = signals["teacher_logits_TV"]
            width = min(teacher_TV.shape[-1], logits_TV.shape[-1])  # heads padded to different widths
            signals["teacher_logits_TV"], signals["logits_TV"] = teacher_TV[:, :width], logits_TV[:, :width]
        return signals


def _whole_gradients(
    chunks: _Chunks, terms: Sequence[Term], weights_T: dict[str, Tensor], sums: Sums
) -> tuple[Tensor, Tensor]:
    """Objectives that look at whole sequences need every token first: one pass without gradient, then these."""
    batch, decoder = chunks.batch, chunks.forward.policy
    with torch.no_grad():
        parts = [
            log_prob(decoder.logits(chunks.hidden_TD[rows]), batch.labels_T[rows], chunks.forward.temperature)
            for rows in row_chunks(chunks.hidden_TD.shape[0], decoder, chunks.forward.chunk_bytes)
        ]
    lp_T = torch.cat([lp for lp, _ in parts]).requires_grad_()
    entropy_T = torch.cat([h for _, h in parts]).requires_grad_()
    signals = {
        **batch.recorded, "labels_T": batch.labels_T, "offset_T": batch.offset_T, "sequence_T": batch.sequence_T,
        "progress": chunks.progress, "logprobs_T": lp_T, "entropy_T": entropy_T,
    }  # fmt: skip
    signals.setdefault("old_logprobs_T", lp_T.detach())
    total = lp_T.new_zeros(())
    for term in terms:
        value = (weights_T[term.name] * term.objective(**_named(term, signals))).sum()
        sums.add(term.name, value.detach())
        total = total + value
    grads = torch.autograd.grad(total, (lp_T, entropy_T), allow_unused=True)
    return tuple(torch.zeros_like(lp_T) if g is None else g for g in grads)  # type: ignore[return-value]


def _named(term: Term, signals: dict[str, Any]) -> dict[str, Any]:
    return {name: signals[name] for name in inputs(term.objective)}


def _capped(decoder: CausalLM, raw_TV: Tensor) -> Tensor:
    cap = decoder.head()[1]
    return torch.tanh(raw_TV / cap) * cap if cap else raw_TV
