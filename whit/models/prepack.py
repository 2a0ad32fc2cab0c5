"""Weights laid out once as the processor's bfloat16 products want them, for as long as a model writes.

oneDNN multiplies by weights in blocks of its own. Given plain weights it copies them into that form at every call, which
costs as much as the product itself when there are few rows, as in decoding. The results are the same to the bit.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import cache, partial
from time import perf_counter

import torch
from torch import Tensor, nn

from whit.models.causal import CausalLM

Product = Callable[[Tensor], Tensor]


@contextmanager
def prepacked(model: CausalLM, rows: int) -> Iterator[None]:
    """Inside, the linear layers and the head of `model` multiply by weights prepacked for products of about `rows` rows.

    The weights must not change meanwhile. It costs their bytes once more. Where the processor has no bfloat16 products, on
    another device, and in another dtype, nothing changes.
    """
    if not _helps(model):
        yield
        return
    joined = [module for module in model.modules() if _together(module)]
    elsewhere = {_head_module(model), *(linear for module in joined for linear in _together(module))}
    alone = [module for module in model.modules() if type(module) is nn.Linear and module not in elsewhere]
    try:
        for module in joined:
            vars(module)["joined"] = _product(_together(module), rows)
        for linear in alone:
            linear.forward = _product([linear], rows)  # type: ignore[method-assign, assignment]
        weight_VD, _, bias_V = model.head()
        model.head_product = _packed(weight_VD, bias_V, rows)
        yield
    finally:
        model.head_product = None
        for module in joined:
            vars(module).pop("joined", None)
        for linear in alone:
            vars(linear).pop("forward", None)


def has_bfloat16_products() -> bool:
    """Whether this processor multiplies bfloat16 matrices in hardware (AVX-512 BF16 or AMX)."""
    check = getattr(torch.cpu, "_is_avx512_bf16_supported", None)
    return bool(check and check())


@cache
def bfloat16_pays() -> bool:
    """Whether bfloat16 products are faster than float32 ones here: measured, where the processor says that it has them."""
    if not has_bfloat16_products():
        return False
    seconds = {}
    for dtype in (torch.bfloat16, torch.float32):
        a, b = torch.ones(256, 1024, dtype=dtype), torch.ones(1024, 1024, dtype=dtype)
        times = []
        for _ in range(6):  # the first chooses the kernel
            started = perf_counter()
            a @ b
            times.append(perf_counter() - started)
        seconds[dtype] = min(times)
    return seconds[torch.bfloat16] < seconds[torch.float32]


def has_amx() -> bool:
    """Whether this processor multiplies tiles of bfloat16 numbers (AMX)."""
    check = getattr(torch.cpu, "_is_amx_tile_supported", None)
    return bool(check and check())


def _helps(model: CausalLM) -> bool:
    weight = model.head().weight
    is_plain = weight.device.type == "cpu" and weight.dtype == torch.bfloat16
    return (
        is_plain
        and has_bfloat16_products()
        and hasattr(torch.ops.mkldnn, "_linear_pointwise")
        and not torch.is_grad_enabled()
    )


def _together(module: nn.Module) -> list[nn.Linear]:
    """The linear layers that a module lets be one product, unless adapters stand in their place."""
    linears = [getattr(module, name) for name in getattr(module, "together", ())]
    return linears if all(type(linear) is nn.Linear for linear in linears) else []


def _product(linears: Sequence[nn.Linear], rows: int) -> Product:
    """One product for linear layers of one input, their outputs side by side."""
    weights: list[Tensor] = [linear.weight for linear in linears]
    biases: list[Tensor] = [linear.bias for linear in linears if linear.bias is not None]
    return _packed(torch.cat(weights), torch.cat(biases) if biases else None, rows)


def _packed(weight_ND: Tensor, bias_N: Tensor | None, rows: int) -> Product:
    packed = torch.ops.mkldnn._reorder_linear_weight(weight_ND.detach(), rows)
    return partial(_multiply, packed, None if bias_N is None else bias_N.detach())


def _multiply(packed: Tensor, bias_N: Tensor | None, x: Tensor) -> Tensor:
    if not x.numel():  # an expert that no token is sent to
        return x.new_empty(*x.shape[:-1], packed.shape[0])
    out: Tensor = torch.ops.mkldnn._linear_pointwise(x, packed, bias_N, "none", [], "")
    return out


def _head_module(model: CausalLM) -> nn.Module | None:
    """The linear layer that holds the head's weight, which nothing calls: `CausalLM.logits` multiplies by it."""
    return next((m for m in model.modules() if isinstance(m, nn.Linear) and m.weight is model.head().weight), None)
