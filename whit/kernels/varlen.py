"""Causal attention inside documents that stand side by side, on a GPU: PyTorch's FlashAttention of any lengths.

It has not yet been run on a GPU: at its first use it is held against attention over padded documents, and left where the
two differ, or where this PyTorch has no such function.
"""

import functools
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

from whit.kernels.transfer import moved

TOLERANCE = 0.02  # of bfloat16 values of size 1


@dataclass(frozen=True)
class Layout:
    """Where N documents lie, with the prefixes that they go on from.

    query_ends, key_ends: [N + 1], int32, counted from 0. longest: queries and keys of a document, at most. keys: the places
    of all keys in the row, a prefix before what goes on from it; None where no document has one.
    """

    query_ends: Tensor
    key_ends: Tensor
    longest: tuple[int, int]
    keys: Tensor | None

    @classmethod
    def of(cls, lengths: Sequence[int], prefixes: Sequence[tuple[int, int]], device: torch.device) -> "Layout":
        """lengths: of documents, in row order; prefixes: (start, length) of the earlier tokens that each goes on from."""
        own, at = torch.tensor(lengths), list(prefixes) or [(0, 0)] * len(lengths)
        before = torch.tensor([length for _, length in at])
        ends, all_ends = _ends(own), _ends(own + before)
        keys = None
        if int(before.sum()):
            places = [
                torch.cat((torch.arange(start, start + length), torch.arange(first, last)))
                for (start, length), first, last in zip(at, ends[:-1].tolist(), ends[1:].tolist(), strict=True)
            ]
            keys = moved(torch.cat(places), device)
        longest = int(own.max()), int((own + before).max())
        return cls(moved(ends, device), moved(all_ends, device), longest, keys)


def can_attend_varlen(q_LHD: Tensor) -> bool:
    """Whether `attend_varlen` takes these queries, and is right on this machine."""
    takes = q_LHD.is_cuda and q_LHD.dtype in (torch.bfloat16, torch.float16) and q_LHD.shape[-1] % 8 == 0
    return takes and _function() is not None


def attend_varlen(
    q_LHD: Tensor,
    k_LhD: Tensor,
    v_LhD: Tensor,
    layout: Layout,
    scale: float,
    window: int,
    function: Callable[..., Any] | None = None,
) -> Tensor:
    """Attention [L, H, D] of every token over what its document, prefix included, has up to it; differentiable.

    window: how many tokens a query sees, itself among them; 0 for all. function: PyTorch's, or one of its form.
    """
    if layout.keys is not None:
        k_LhD, v_LhD = k_LhD.index_select(0, layout.keys), v_LhD.index_select(0, layout.keys)
    function = function or _function()
    assert function is not None, "see can_attend_varlen"
    out_LHD: Tensor = function(
        q_LHD, k_LhD, v_LhD, layout.query_ends, layout.key_ends, *layout.longest, scale=scale,
        window_size=(window - 1 if window else -1, 0), enable_gqa=q_LHD.shape[1] != k_LhD.shape[1],
    )  # fmt: skip
    return out_LHD


@functools.cache
def _function() -> Callable[..., Any] | None:
    try:
        from torch.nn.attention.varlen import varlen_attn

        largest = largest_difference(varlen_attn, torch.device("cuda"), torch.bfloat16)
    except (
        Exception
    ) as e:  # an import, an argument, a kernel that this GPU has not: padded documents are right everywhere
        warnings.warn(f"documents are padded for attention: {e}", stacklevel=2)
        return None
    if largest > TOLERANCE:
        warnings.warn(f"documents are padded for attention: without padding it differs by {largest:.1g}", stacklevel=2)
        return None
    return varlen_attn


@torch.enable_grad()
def largest_difference(function: Callable[..., Any], device: torch.device, dtype: torch.dtype) -> float:
    """Between `function` and plain attention, one document at a time: output and gradients, with prefixes and a window."""
    lengths, prefixes, generator = [5, 9, 1, 40], [(0, 0), (0, 5), (0, 5), (0, 0)], torch.Generator().manual_seed(0)
    layout = Layout.of(lengths, prefixes, device)
    drawn = [torch.randn(sum(lengths), heads, 16, generator=generator).to(device, dtype) for heads in (4, 2, 2, 4)]
    *inputs, grad_LHD = (x.requires_grad_() for x in drawn)
    largest = 0.0
    for window in (0, 7):
        q, k, v = inputs
        out = attend_varlen(q, k, v, layout, 0.25, window, function)
        results = [(out, *torch.autograd.grad(out, inputs, grad_LHD.detach()))]
        parts, start = [], 0
        for length, (first, count) in zip(lengths, prefixes, strict=True):
            places = [*range(first, first + count), *range(start, start + length)]
            parts.append(_plain(q[start : start + length], k[places], v[places], 0.25, window))
            start += length
        out = torch.cat(parts)
        results.append((out, *torch.autograd.grad(out, inputs, grad_LHD.detach())))
        for ours, expected in zip(*results, strict=True):
            ours, expected = ours.detach().float(), expected.detach().float()
            off = (ours - expected).abs() / (1 + expected.abs())
            largest = max(largest, float(off.max().nan_to_num(float("inf"))))
    return largest


def _plain(q_LHD: Tensor, k_KhD: Tensor, v_KhD: Tensor, scale: float, window: int) -> Tensor:
    """Attention of the last L of K tokens."""
    length, keys, group = len(q_LHD), len(k_KhD), q_LHD.shape[1] // k_KhD.shape[1]
    at = torch.arange(keys - length, keys, device=q_LHD.device)[:, None]
    distance = at - torch.arange(keys, device=q_LHD.device)
    mask = (distance >= 0) & ((distance < window) if window else True)
    q, k, v = (
        x.transpose(0, 1)[None] for x in (q_LHD, k_KhD.repeat_interleave(group, 1), v_KhD.repeat_interleave(group, 1))
    )
    return F.scaled_dot_product_attention(q, k, v, attn_mask=mask, scale=scale)[0].transpose(0, 1)


def _ends(counts: Tensor) -> Tensor:
    return F.pad(counts.cumsum(0), (1, 0)).to(torch.int32)
