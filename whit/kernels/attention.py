"""Causal attention inside documents that stand side by side, in bfloat16 on a CPU: `attention.cpp` with its gradient."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from whit.kernels.build import native, runs

COLUMNS = 32  # as in product.h


def document_table(lengths: Sequence[int], prefixes: Sequence[tuple[int, int]]) -> Tensor:
    """[N, 4]: a document's start and tokens, and the start and tokens of the prefix that it goes on from."""
    length_N = torch.tensor(lengths)
    prefixes_N2 = torch.tensor(prefixes or [(0, 0)] * len(lengths)).view(-1, 2)
    return torch.cat(((length_N.cumsum(0) - length_N)[:, None], length_N[:, None], prefixes_N2), 1)


def can_attend_documents(q_LHD: Tensor, k_LhD: Tensor, v_LhD: Tensor) -> bool:
    """Whether `attend_documents` takes these."""
    return runs(q_LHD, k_LhD, v_LhD) and q_LHD.shape[-1] % COLUMNS == 0


def attend_documents(q_LHD: Tensor, k_LhD: Tensor, v_LhD: Tensor, documents_N4: Tensor, scale: float) -> Tensor:
    """Attention [L, H, D] of every token over what its document, prefix included, has up to it; differentiable.

    documents_N4: see `document_table`; every token of the row belongs to one document.
    """
    q_LHD, k_LhD, v_LhD = q_LHD.contiguous(), k_LhD.contiguous(), v_LhD.contiguous()
    if torch.is_grad_enabled():
        return _Attention.apply(q_LHD, k_LhD, v_LhD, documents_N4, scale)  # type: ignore[no-any-return, no-untyped-call]
    return _forward(q_LHD, k_LhD, v_LhD, documents_N4, scale)[0]


class _Attention(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, q_LHD: Tensor, k_LhD: Tensor, v_LhD: Tensor, documents_N4: Tensor, scale: float) -> Tensor:
        out_LHD, normaliser_LH = _forward(q_LHD, k_LhD, v_LhD, documents_N4, scale)
        ctx.save_for_backward(q_LHD, k_LhD, v_LhD, out_LHD, normaliser_LH, documents_N4)
        ctx.scale = scale
        return out_LHD

    @staticmethod
    def backward(ctx: Any, grad_LHD: Tensor) -> tuple[Tensor, Tensor, Tensor, None, None]:  # type: ignore[override]
        q_LHD, k_LhD, v_LhD, out_LHD, normaliser_LH, documents_N4 = ctx.saved_tensors
        grad_LHD = grad_LHD.contiguous()
        grads = torch.empty_like(q_LHD), torch.empty_like(k_LhD), torch.empty_like(v_LhD)
        tokens, num_heads, size = q_LHD.shape
        num_shared = int(documents_N4[:, 3].sum())
        of_prefix = torch.empty(2 * num_shared * k_LhD.shape[1] * size)
        native().attention_backward(
            grad_LHD.data_ptr(), q_LHD.data_ptr(), k_LhD.data_ptr(), v_LhD.data_ptr(), out_LHD.data_ptr(),
            normaliser_LH.data_ptr(), *(g.data_ptr() for g in grads), of_prefix.data_ptr(), documents_N4.data_ptr(),
            len(documents_N4), num_heads, k_LhD.shape[1], size, ctx.scale, tokens, torch.get_num_threads(),
        )  # fmt: skip
        return *grads, None, None


def _forward(q_LHD: Tensor, k_LhD: Tensor, v_LhD: Tensor, documents_N4: Tensor, scale: float) -> tuple[Tensor, Tensor]:
    tokens, num_heads, size = q_LHD.shape
    out_LHD, normaliser_LH = torch.empty_like(q_LHD), torch.empty(tokens, num_heads)
    native().attention(
        q_LHD.data_ptr(), k_LhD.data_ptr(), v_LhD.data_ptr(), out_LHD.data_ptr(), normaliser_LH.data_ptr(),
        documents_N4.data_ptr(), len(documents_N4), num_heads, k_LhD.shape[1], size, scale, torch.get_num_threads(),
    )  # fmt: skip
    return out_LHD, normaliser_LH
