"""The operators of a decoder between its matrix products, differentiable: their definition, and the fast form of it.

In bfloat16 on a CPU the compiled form of `cpu.cpp` runs where it can be built; everywhere else PyTorch runs the definition.
Both round in the same places, so they differ by a last bit at most.
"""

from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

from whit.kernels.build import native, runs

MAX_HEAD_SIZE = 512  # of the buffers in `attend`


def rms_norm(x: Tensor, weight_D: Tensor, eps: float) -> Tensor:
    """x [.., D] over its root mean square, rounded, times the weight. Source: arXiv:1910.07467, as Llama rounds it."""
    if runs(x, weight_D) and x.is_contiguous():
        if not torch.is_grad_enabled():
            return _normed(x, weight_D, eps)[0]
        return _RmsNorm.apply(x, weight_D, eps)  # type: ignore[no-any-return, no-untyped-call]
    if x.dtype == torch.float32:
        return F.rms_norm(x, weight_D.shape, weight_D, eps)
    y = x.float()
    return weight_D * (y * torch.rsqrt(y.pow(2).mean(-1, keepdim=True) + eps)).to(x.dtype)


def silu_mul(gate_LD: Tensor, up_LD: Tensor) -> Tensor:
    """silu(gate) * up, [L, D]. Source: arXiv:2002.05202."""
    if runs(gate_LD, up_LD) and gate_LD.stride() == up_LD.stride() and gate_LD.stride(-1) == 1:
        if not torch.is_grad_enabled():
            return _gated(gate_LD, up_LD)
        return _SiluMul.apply(gate_LD, up_LD)  # type: ignore[no-any-return, no-untyped-call]
    return F.silu(gate_LD) * up_LD


def rotate(x_LHD: Tensor, rope: tuple[Tensor, Tensor]) -> Tensor:
    """Rotary positions: pairs (j, j + D/2) of each head turned by the angles of its row.

    rope: cosines and sines, [L, D]. Source: arXiv:2104.09864, in the halves that Hugging Face's models use.
    """
    cos_LD, sin_LD = rope
    if runs(x_LHD, cos_LD) and x_LHD.stride()[1:] == (x_LHD.shape[2], 1):
        if not torch.is_grad_enabled():
            return _turned(x_LHD, cos_LD, sin_LD, 1.0)
        return _Rotate.apply(x_LHD, cos_LD, sin_LD)  # type: ignore[no-any-return, no-untyped-call]
    half = x_LHD.shape[-1] // 2
    turned = torch.cat((-x_LHD[..., half:], x_LHD[..., :half]), -1)
    return x_LHD * cos_LD[:, None] + turned * sin_LD[:, None]


def can_attend(q_BHD: Tensor, v_BhD: Tensor) -> bool:
    """Whether `attend` takes these."""
    return (
        runs(q_BHD, v_BhD)
        and q_BHD.is_contiguous()
        and v_BhD.stride()[1:] == (v_BhD.shape[2], 1)
        and q_BHD.shape[-1] <= MAX_HEAD_SIZE
        and not torch.is_grad_enabled()
    )


def attend(
    q_BHD: Tensor, k_BhD: Tensor, v_BhD: Tensor, keys: Tensor, values: Tensor, positions_B: Tensor, scale: float,
    window: int,
) -> Tensor:  # fmt: skip
    """Attention [B, H, D] of one new token a row, whose key and value are put into the caches first.

    keys, values: [at least B, h, length, D]. positions_B: where the new tokens stand, int64.
    window: how many tokens a query sees, itself among them; 0 for all.
    """
    out = torch.empty_like(q_BHD)
    k_BhD = k_BhD.contiguous()  # a name keeps the copy for as long as it is read
    rows, heads, size = q_BHD.shape
    native().attend(
        q_BHD.data_ptr(), k_BhD.data_ptr(), v_BhD.data_ptr(), keys.data_ptr(), values.data_ptr(),
        positions_B.data_ptr(), out.data_ptr(), rows, heads, keys.shape[1], keys.shape[2], size, v_BhD.stride(0), window,
        scale, torch.get_num_threads(),
    )  # fmt: skip
    return out


class _RmsNorm(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight_D: Tensor, eps: float) -> Tensor:
        y, scale_L = _normed(x, weight_D, eps)
        ctx.save_for_backward(x, weight_D, scale_L)
        return y

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor, None]:  # type: ignore[override]
        x, weight_D, scale_L = ctx.saved_tensors
        grad, x_grad, threads = grad.contiguous(), torch.empty_like(x), torch.get_num_threads()
        sums = torch.zeros(threads, x.shape[-1])
        native().rms_norm_backward(
            grad.data_ptr(), x.data_ptr(), weight_D.data_ptr(), scale_L.data_ptr(), x_grad.data_ptr(), sums.data_ptr(),
            len(scale_L), x.shape[-1], threads,
        )  # fmt: skip
        return x_grad, sums.sum(0).to(weight_D.dtype), None


class _SiluMul(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, gate_LD: Tensor, up_LD: Tensor) -> Tensor:
        ctx.save_for_backward(gate_LD, up_LD)
        return _gated(gate_LD, up_LD)

    @staticmethod
    def backward(ctx: Any, grad_LD: Tensor) -> tuple[Tensor, Tensor]:  # type: ignore[override]
        gate_LD, up_LD = ctx.saved_tensors
        grad_LD = grad_LD.contiguous()
        gate_grad, up_grad = torch.empty_like(grad_LD), torch.empty_like(grad_LD)
        native().silu_mul_backward(
            grad_LD.data_ptr(), gate_LD.data_ptr(), up_LD.data_ptr(), gate_grad.data_ptr(), up_grad.data_ptr(),
            *grad_LD.shape, gate_LD.stride(0), torch.get_num_threads(),
        )  # fmt: skip
        return gate_grad, up_grad


class _Rotate(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x_LHD: Tensor, cos_LD: Tensor, sin_LD: Tensor) -> Tensor:
        ctx.save_for_backward(cos_LD, sin_LD)
        return _turned(x_LHD, cos_LD, sin_LD, 1.0)

    @staticmethod
    def backward(ctx: Any, grad_LHD: Tensor) -> tuple[Tensor, None, None]:  # type: ignore[override]
        cos_LD, sin_LD = ctx.saved_tensors
        return _turned(grad_LHD.contiguous(), cos_LD, sin_LD, -1.0), None, None


def _normed(x: Tensor, weight_D: Tensor, eps: float) -> tuple[Tensor, Tensor]:
    y, width = torch.empty_like(x), x.shape[-1]
    rows = x.numel() // width
    scale_L = torch.empty(rows)
    native().rms_norm(
        x.data_ptr(), weight_D.data_ptr(), y.data_ptr(), scale_L.data_ptr(), rows, width, eps, torch.get_num_threads()
    )
    return y, scale_L


def _gated(gate_LD: Tensor, up_LD: Tensor) -> Tensor:
    out_LD = torch.empty(gate_LD.shape, dtype=gate_LD.dtype)
    native().silu_mul(
        gate_LD.data_ptr(), up_LD.data_ptr(), out_LD.data_ptr(), *gate_LD.shape, gate_LD.stride(0), torch.get_num_threads(),
    )  # fmt: skip
    return out_LD


def _turned(x_LHD: Tensor, cos_LD: Tensor, sin_LD: Tensor, sign: float) -> Tensor:
    out = torch.empty(x_LHD.shape, dtype=x_LHD.dtype)
    native().rotate(
        x_LHD.data_ptr(), cos_LD.data_ptr(), sin_LD.data_ptr(), out.data_ptr(), *x_LHD.shape, x_LHD.stride(0), sign,
        torch.get_num_threads(),
    )  # fmt: skip
    return out
