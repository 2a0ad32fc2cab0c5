"""Log-probability of labels and entropy, from logits, differentiable: what every loss on a vocabulary is made of.

The compiled form reads a row of bfloat16 logits three times and writes its gradient once; the definition makes some ten
float32 copies of it.
"""

from typing import Any

import torch
from torch import Tensor

from whit.kernels.build import native, runs


def log_prob(logits_TV: Tensor, labels_T: Tensor, temperature: float = 1.0) -> tuple[Tensor, Tensor]:
    """Log-probability of each label and entropy [T] under softmax(logits / temperature), in nats, in float32."""
    form = _Compiled if runs(logits_TV) and logits_TV.is_contiguous() else _Defined
    lp_T, entropy_T = form.apply(logits_TV, labels_T, temperature)  # type: ignore[no-untyped-call]
    return lp_T, entropy_T


class _Defined(torch.autograd.Function):
    """Both in one pass, with the gradient written out: no second [T, V] copy is kept for the backward pass."""

    @staticmethod
    def forward(ctx: Any, logits_TV: Tensor, labels_T: Tensor, temperature: float) -> tuple[Tensor, Tensor]:
        precise_TV = logits_TV.to(torch.promote_types(logits_TV.dtype, torch.float32))
        logp_TV = (precise_TV / temperature).log_softmax(-1)
        lp_T = logp_TV.gather(-1, labels_T[:, None])[:, 0]
        entropy_T = -(logp_TV.exp() * logp_TV).sum(-1)
        ctx.save_for_backward(logp_TV, labels_T, entropy_T)
        ctx.temperature, ctx.dtype = temperature, logits_TV.dtype
        return lp_T, entropy_T

    @staticmethod
    def backward(ctx: Any, grad_lp_T: Tensor, grad_entropy_T: Tensor) -> tuple[Tensor, None, None]:  # type: ignore[override]
        logp_TV, labels_T, entropy_T = ctx.saved_tensors
        p_TV = logp_TV.exp()
        grad_TV = torch.zeros_like(p_TV)
        if bool((grad_entropy_T != 0).any()):
            grad_TV -= grad_entropy_T[:, None] * p_TV * (logp_TV + entropy_T[:, None])
        grad_TV -= grad_lp_T[:, None] * p_TV
        grad_TV.scatter_add_(-1, labels_T[:, None], grad_lp_T[:, None].to(grad_TV.dtype))
        return (grad_TV / ctx.temperature).to(ctx.dtype), None, None


class _Compiled(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, logits_TV: Tensor, labels_T: Tensor, temperature: float) -> tuple[Tensor, Tensor]:
        labels_T = labels_T.contiguous()
        assert (
            not len(labels_T) or 0 <= int(labels_T.min()) <= int(labels_T.max()) < logits_TV.shape[1]
        )  # C++ does not look
        lp_T, entropy_T, normaliser_T = torch.empty(3, len(logits_TV)).unbind()
        native().log_prob(
            logits_TV.data_ptr(), labels_T.data_ptr(), lp_T.data_ptr(), entropy_T.data_ptr(), normaliser_T.data_ptr(),
            *logits_TV.shape, 1 / temperature, torch.get_num_threads(),
        )  # fmt: skip
        ctx.save_for_backward(logits_TV, labels_T, normaliser_T, entropy_T)
        ctx.temperature = temperature
        return lp_T, entropy_T

    @staticmethod
    def backward(ctx: Any, grad_lp_T: Tensor, grad_entropy_T: Tensor) -> tuple[Tensor, None, None]:  # type: ignore[override]
        logits_TV, labels_T, normaliser_T, entropy_T = ctx.saved_tensors
        grad_lp_T, grad_entropy_T = grad_lp_T.contiguous(), grad_entropy_T.contiguous()
        grad_TV = torch.empty_like(logits_TV)
        native().log_prob_backward(
            logits_TV.data_ptr(), labels_T.data_ptr(), normaliser_T.data_ptr(), entropy_T.data_ptr(), grad_lp_T.data_ptr(),
            grad_entropy_T.data_ptr(), grad_TV.data_ptr(), *logits_TV.shape, 1 / ctx.temperature, torch.get_num_threads(),
        )  # fmt: skip
        return grad_TV, None, None
