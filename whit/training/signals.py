"""From hidden states to the loss: the signals that objectives name, made once per micro-batch, chunk by chunk.

The vocabulary of signals is closed; a signal is computed only if some objective's signature names it. Rows go through the
head in chunks, and each chunk's gradient is taken at once: logits of all tokens never exist together.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

from whit.core.errors import PartError, did_you_mean
from whit.core.parts import inputs
from whit.data.batch import Batch
from whit.kernels.log_prob import is_compiled, log_prob
from whit.models.attention import Packed
from whit.models.causal import CausalLM
from whit.objectives._types import Term
from whit.training.optim import Optimizer
from whit.training.weights import spread

RECORDED = ("advantages_T", "old_logprobs_T", "reference_logprobs_T", "returns_T", "rollout_logprobs_T")
MADE = (
    "entropy_T", "labels_T", "logits_TV", "logprobs_T", "offset_T", "progress", "sequence_T", "teacher_logits_TV",
    "teacher_logprobs_T",
)  # fmt: skip
# Float32 logits of one chunk, where several copies of it live at once; and where none does, because a compiled form reads
# bfloat16 logits: on a CPU, and on a GPU, which needs more rows.
CHUNK_BYTES, COMPILED_CHUNK_BYTES, GPU_CHUNK_BYTES = 64 << 20, 256 << 20, 1 << 30


@dataclass(frozen=True)
class Forward:
    """The models of a step.

    teacher: scores the same tokens, without gradient.
    temperature: of the policy's log-probabilities: the one that its completions were sampled at.
    chunk_bytes: size of the logits that exist at once, counted in float32; it bounds memory and cannot change the result.
        0 takes what suits the device.
    """

    policy: CausalLM
    teacher: CausalLM | None = None
    temperature: float = 1.0
    chunk_bytes: int = 0


@dataclass
class Sums:
    """What a step adds up over micro-batches, per term: weighted values, on the device until the step ends."""

    terms: dict[str, Tensor] = field(default_factory=dict)
    totals: dict[str, Tensor] = field(default_factory=dict)

    def add(self, name: str, value: Tensor) -> None:
        """Add to a term."""
        self.terms[name] = self.terms[name] + value if name in self.terms else value

    def watch(self, name: str, values_T: Tensor) -> None:
        """Add the sum over tokens of something that is shown and not trained on."""
        total = values_T.detach().sum()
        self.totals[name] = self.totals[name] + total if name in self.totals else total

    def merge(self, other: "Sums") -> None:
        for name, value in other.terms.items():
            self.add(name, value)
        for name, value in other.totals.items():
            self.watch(name, value)

    def read(self, **more: Tensor) -> dict[str, float]:
        """All of them, and `more`, as numbers: the one place where a step asks its device for any."""
        named = {**self.terms, **self.totals, **more}
        device = next(iter(self.terms.values())).device
        return dict(zip(named, torch.stack([v.to(device) for v in named.values()]).tolist(), strict=True))


def check_terms(terms: Sequence[Term], *, has_teacher: bool) -> None:
    """Raises PartError for a signal that does not exist, cannot be chunked, or needs a teacher that is not there.

    Terms are told apart by name, so two of one name are refused too.
    """
    names = [term.name for term in terms]
    for name in names:
        if names.count(name) > 1:
            raise PartError(f"two terms of the loss are called '{name}'. Give one of them a name of its own.")
    for term in terms:
        named = inputs(term.objective)
        for name in named:
            if name not in RECORDED + MADE:
                raise PartError(
                    f"objective '{term.name}' names the signal '{name}'.{did_you_mean(name, RECORDED + MADE)}"
                )
            if name.startswith("teacher") and not has_teacher:
                raise PartError(
                    f"objective '{term.name}' needs a teacher. Set teacher = a model directory in the recipe."
                )
        if "sequence_T" in named and any(name.endswith("_TV") or name.startswith("teacher") for name in named):
            raise PartError(
                f"objective '{term.name}' names sequence_T and a signal of the vocabulary or the teacher: "
                "it cannot be chunked, and these never exist for a whole sequence."
            )


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
    hidden_TD = _hidden(policy, batch)
    chunker = _Chunks(forward, batch, hidden_TD.detach(), optimizer, progress)
    dtype = torch.promote_types(hidden_TD.dtype, torch.float32)
    weights_T = {
        term.name: term.coefficient(progress) * spread(weights[term.name], batch.sequence_T, dtype) for term in terms
    }
    chunked = [term for term in terms if "sequence_T" not in inputs(term.objective)]
    whole = [term for term in terms if "sequence_T" in inputs(term.objective)]
    sums = Sums()
    extra = _whole_gradients(chunker, whole, weights_T, sums) if whole else None
    gradient_TD = chunker.gradients(chunked, weights_T, sums, extra)
    hidden_TD.backward(gradient_TD)  # type: ignore[no-untyped-call]
    optimizer.collect()
    return sums


@torch.no_grad()
def score(decoder: CausalLM, batch: Batch, temperature: float = 1.0) -> tuple[Tensor, Tensor]:
    """Log-probabilities and entropies [T] of the labels, in nats, without gradient."""
    hidden_TD = _hidden(decoder, batch)
    parts = [
        log_prob(decoder.logits(hidden_TD[rows]), batch.labels_T[rows], temperature)
        for rows in row_chunks(hidden_TD.shape[0], decoder)
    ]
    if not parts:
        return hidden_TD.new_zeros(0), hidden_TD.new_zeros(0)
    return torch.cat([lp for lp, _ in parts]), torch.cat([h for _, h in parts])


def _hidden(decoder: CausalLM, batch: Batch) -> Tensor:
    """The hidden states [T, D] that predict the supervised tokens."""
    attention = Packed(batch.lengths, batch.tokens_L.device, prefixes=batch.prefixes)
    hidden_LD: Tensor = decoder(batch.tokens_L, batch.positions_L, attention)
    return hidden_LD.index_select(0, batch.source_T)


class _Chunks:
    """The rows of one micro-batch on their way through the head."""

    def __init__(self, forward: Forward, batch: Batch, hidden_TD: Tensor, optimizer: Optimizer, progress: float):
        self.forward, self.batch, self.hidden_TD = forward, batch, hidden_TD
        self.optimizer, self.progress = optimizer, progress
        self.teacher_TD: Tensor | None = None
        if forward.teacher is not None:
            with torch.no_grad():
                self.teacher_TD = _hidden(forward.teacher, batch)

    def gradients(
        self, terms: Sequence[Term], weights_T: dict[str, Tensor], sums: Sums, extra: tuple[Tensor, Tensor] | None
    ) -> Tensor:
        """The gradient of the hidden states; the head's goes to the optimizer.

        extra: gradients of logprobs_T and entropy_T that whole-sequence terms ask for.
        """
        decoder, (weight_VD, _, bias_V) = self.forward.policy, self.forward.policy.head()
        gradient_TD = torch.zeros_like(self.hidden_TD)
        named = {name for term in terms for name in inputs(term.objective)}
        reads_logits = any(name.endswith("_TV") for name in named)
        for rows in row_chunks(self.hidden_TD.shape[0], decoder, self.forward.chunk_bytes, reads_logits=reads_logits):
            hidden = self.hidden_TD[rows]
            with torch.enable_grad():
                raw_TV = F.linear(hidden, weight_VD, bias_V).detach().requires_grad_()
                signals = self._signals(rows, _capped(decoder, raw_TV), named, force=extra is not None)
                total = raw_TV.new_zeros((), dtype=torch.float32)
                for term in terms:
                    value = (weights_T[term.name][rows] * term.objective(**_named(term, signals))).sum()
                    sums.add(term.name, value.detach())
                    total = total + value
                if extra is not None:
                    total = (
                        total
                        + (extra[0][rows] * signals["logprobs_T"]).sum()
                        + (extra[1][rows] * signals["entropy_T"]).sum()
                    )
                (grad_TV,) = torch.autograd.grad(total, raw_TV)
            if "entropy_T" in signals:
                sums.watch("entropy", signals["entropy_T"])
                if "rollout_logprobs_T" in signals:  # engine against trainer, on the same tokens: rounding only
                    sums.watch("mismatch", (signals["logprobs_T"] - signals["rollout_logprobs_T"]).abs())
            gradient_TD[rows] = grad_TV @ weight_VD
            if weight_VD.requires_grad:
                self.optimizer.add_product(weight_VD, grad_TV, hidden)
            if bias_V is not None and bias_V.requires_grad:
                self.optimizer.add_gradient(bias_V, grad_TV.sum(0))
        return gradient_TD

    def _signals(self, rows: slice, logits_TV: Tensor, named: set[str], *, force: bool) -> dict[str, Any]:
        batch = self.batch
        signals: dict[str, Any] = {name: values[rows] for name, values in batch.recorded.items()}
        signals |= {"labels_T": batch.labels_T[rows], "offset_T": batch.offset_T[rows], "progress": self.progress}
        signals["logits_TV"] = logits_TV
        if force or named & {"logprobs_T", "entropy_T", "old_logprobs_T"}:
            signals["logprobs_T"], signals["entropy_T"] = log_prob(
                logits_TV, batch.labels_T[rows], self.forward.temperature
            )
            signals.setdefault("old_logprobs_T", signals["logprobs_T"].detach())
        if named & {"teacher_logits_TV", "teacher_logprobs_T"}:
            assert self.forward.teacher is not None and self.teacher_TD is not None
            with torch.no_grad():
                teacher_TV = self.forward.teacher.logits(self.teacher_TD[rows])
                if "teacher_logprobs_T" in named:
                    signals["teacher_logprobs_T"], _ = log_prob(
                        teacher_TV, batch.labels_T[rows], self.forward.temperature
                    )
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


def row_chunks(num_rows: int, decoder: CausalLM, chunk_bytes: int = 0, *, reads_logits: bool = False) -> list[slice]:
    """Rows that go through the head together. reads_logits: whether an objective makes copies of the logits."""
    weight_VD = decoder.head().weight
    if not chunk_bytes:
        chunk_bytes = CHUNK_BYTES
        if is_compiled(weight_VD) and not reads_logits:
            chunk_bytes = GPU_CHUNK_BYTES if weight_VD.is_cuda else COMPILED_CHUNK_BYTES
    size = max(1, chunk_bytes // (4 * weight_VD.shape[0]))
    return [slice(start, min(start + size, num_rows)) for start in range(0, num_rows, size)]
