"""Log-probability of labels and entropy, from logits, differentiable: what every loss on a vocabulary is made of.

The compiled forms read a row of logits two or three times and write its gradient once; the definition makes some ten
float32 copies of it.
"""

import functools
import warnings
from typing import Any

import torch
from torch import Tensor

from whit.kernels.build import native, runs


def log_prob(logits_TV: Tensor, labels_T: Tensor, temperature: float = 1.0) -> tuple[Tensor, Tensor]:
    """Log-probability of each label and entropy [T] under softmax(logits / temperature), in nats, in float32."""
    form = _form(logits_TV)
    lp_T, entropy_T = form.apply(logits_TV, labels_T, temperature)  # type: ignore[no-untyped-call]
    return lp_T, entropy_T


def is_compiled(logits_TV: Tensor) -> bool:
    """Whether there is a form that makes no float32 copies of such logits."""
    return _form(logits_TV) is not _Defined


def _form(logits_TV: Tensor) -> Any:
    if not logits_TV.is_contiguous():
        return _Defined
    if runs(logits_TV):
        return _Compiled
    return _on_gpu() if logits_TV.is_cuda and logits_TV.dtype != torch.float64 else _Defined


@functools.cache
def _on_gpu() -> Any:
    """Triton's form, where it is installed and gives what the definition gives on this GPU."""
    try:
        from whit.kernels.log_prob_cuda import InTriton

        largest = _largest_difference(InTriton, torch.device("cuda"))
    except Exception as e:  # whatever a compiler of kernels may raise: the definition is right everywhere
        warnings.warn(f"log-probabilities are computed by PyTorch, not by Triton: {e}", stacklevel=2)
        return _Defined
    if largest > 1e-4:
        warnings.warn(f"Triton's log-probabilities differ by {largest:.1g} here; PyTorch computes them", stacklevel=2)
        return _Defined
    return InTriton


@torch.enable_grad()
def _largest_difference(form: Any, device: torch.device) -> float:
    """Between a form and the definition: values and gradients of a few random rows."""
    generator = torch.Generator().manual_seed(0)
    logits_TV = torch.randn(3, 5000, generator=generator).to(device)
    labels_T, weight_T = torch.tensor([0, 4999, 7], device=device), torch.tensor([1.0, -2.0, 0.5], device=device)
    results = []
    for each in (form, _Defined):
        own_TV = logits_TV.clone().requires_grad_()
        lp_T, entropy_T = each.apply(own_TV, labels_T, 0.7)
        (grad_TV,) = torch.autograd.grad((weight_T * (lp_T + 0.3 * entropy_T)).sum(), own_TV)
        results.append(torch.cat((lp_T.detach(), entropy_T.detach(), grad_TV.flatten())))
    return float((results[0] - results[1]).abs().max().nan_to_num(float("inf")))


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
        ctx.set_materialize_grads(False)  # None for what the loss does not use
        return lp_T, entropy_T

    @staticmethod
    def backward(  # type: ignore[override]
        ctx: Any, grad_lp_T: Tensor | None, grad_entropy_T: Tensor | None
    ) -> tuple[Tensor, None, None]:
        logp_TV, labels_T, entropy_T = ctx.saved_tensors
        p_TV = logp_TV.exp()
        grad_TV = torch.zeros_like(p_TV)
        if grad_entropy_T is not None:
            grad_TV -= grad_entropy_T[:, None] * p_TV * (logp_TV + entropy_T[:, None])
        if grad_lp_T is not None:
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
