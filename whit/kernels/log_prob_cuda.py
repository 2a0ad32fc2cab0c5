"""Log-probability of labels, entropy and their gradient on a GPU, in Triton: two readings of the logits and one writing.

Source of the running sums: arXiv:1805.02867; entropy from the same pass. Tested in Triton's interpreter and not yet on a
GPU: `log_prob` compares it with its definition when it is first used.
"""

from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor

BLOCK = 4096  # logits of a row that are read together


@triton.jit  # type: ignore[untyped-decorator]
def _sums(logits, labels, lps, entropies, normalisers, size, inverse_temperature, BLOCK: tl.constexpr):  # type: ignore[no-untyped-def]
    """One program a row: the largest so far, the sum of e^(x - largest), and that of the same times (x - largest)."""
    row = tl.program_id(0).to(tl.int64)
    most = float("-inf")
    total = 0.0
    moment = 0.0
    for start in range(0, size, BLOCK):
        at = start + tl.arange(0, BLOCK)
        x = tl.load(logits + row * size + at, mask=at < size, other=float("-inf")).to(tl.float32) * inverse_temperature
        higher = tl.maximum(most, tl.max(x, 0))
        top = tl.where(higher == float("-inf"), 0.0, higher)  # of nothing but minus infinities
        before = tl.exp(most - top)
        mass = tl.exp(x - top)
        moment = before * (moment + tl.where(total > 0, (most - top) * total, 0.0))
        moment += tl.sum(tl.where(mass > 0, mass * (x - top), 0.0), 0)
        total = before * total + tl.sum(mass, 0)
        most = higher
    label = tl.load(labels + row)
    chosen = tl.load(logits + row * size + label).to(tl.float32) * inverse_temperature
    tl.store(lps + row, chosen - most - tl.log(total))
    tl.store(entropies + row, tl.log(total) - moment / total)
    tl.store(normalisers + row, most + tl.log(total))


@triton.jit  # type: ignore[untyped-decorator]
def _slopes(  # type: ignore[no-untyped-def]
    logits, labels, normalisers, entropies, grad_lps, grad_entropies, out, size, inverse_temperature, BLOCK: tl.constexpr
):  # fmt: skip
    """One program a row and block: the gradient of its logits."""
    row = tl.program_id(0).to(tl.int64)
    at = tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)
    x = tl.load(logits + row * size + at, mask=at < size, other=float("-inf")).to(tl.float32) * inverse_temperature
    logp = x - tl.load(normalisers + row)
    p = tl.exp(logp)
    of_label = tl.load(grad_lps + row)
    of_entropy = tl.load(grad_entropies + row)
    from_entropy = tl.where(p > 0, p * (logp + tl.load(entropies + row)), 0.0)
    slope = tl.where(at == tl.load(labels + row), of_label, 0.0) - of_label * p - of_entropy * from_entropy
    tl.store(out + row * size + at, (slope * inverse_temperature).to(out.dtype.element_ty), mask=at < size)


class InTriton(torch.autograd.Function):
    """`log_prob` of contiguous bfloat16, float16 or float32 logits."""

    @staticmethod
    def forward(ctx: Any, logits_TV: Tensor, labels_T: Tensor, temperature: float) -> tuple[Tensor, Tensor]:
        rows, size = logits_TV.shape
        lp_T, entropy_T, normaliser_T = logits_TV.new_empty(3, rows, dtype=torch.float32).unbind()
        labels_T = labels_T.contiguous()
        if rows:
            _sums[(rows,)](logits_TV, labels_T, lp_T, entropy_T, normaliser_T, size, 1 / temperature, BLOCK=BLOCK)
        ctx.save_for_backward(logits_TV, labels_T, normaliser_T, entropy_T)
        ctx.temperature = temperature
        return lp_T, entropy_T

    @staticmethod
    def backward(ctx: Any, grad_lp_T: Tensor, grad_entropy_T: Tensor) -> tuple[Tensor, None, None]:  # type: ignore[override]
        logits_TV, labels_T, normaliser_T, entropy_T = ctx.saved_tensors
        grad_TV = torch.empty_like(logits_TV)
        rows, size = logits_TV.shape
        if rows:
            _slopes[(rows, triton.cdiv(size, BLOCK))](
                logits_TV, labels_T, normaliser_T, entropy_T, grad_lp_T.contiguous(), grad_entropy_T.contiguous(), grad_TV,
                size, 1 / ctx.temperature, BLOCK=BLOCK,
            )  # fmt: skip
        return grad_TV, None, None
