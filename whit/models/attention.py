"""Two ways to attend: over documents packed side by side in one row, and over a cache while decoding.

Both take the projections of one layer and return its attention output, so a decoder is written once.
"""

from collections.abc import Sequence
from functools import cached_property
from typing import Protocol

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

from whit.kernels.attention import attend_documents, can_attend_documents, document_table
from whit.kernels.ops import attend, can_attend
from whit.kernels.varlen import Layout, attend_varlen, can_attend_varlen


class Attention(Protocol):
    """What a decoder layer calls. q_LHD, k_LhD, v_LhD: heads H of queries, h of keys and values; returns [L, H, D]."""

    def __call__(
        self, layer: int, q_LHD: Tensor, k_LhD: Tensor, v_LhD: Tensor, scale: float, window: int
    ) -> Tensor: ...


class Packed:
    """Causal attention inside each document of a packed row, and none across documents.

    Where no kernel takes documents of any lengths, they are laid out as the rows of padded blocks of similar length.
    Padding stands after the tokens, where causal attention never looks, so no mask is needed and the fused kernels run.
    lengths: tokens of each document, in row order.
    prefixes: for each document (start, length) of earlier tokens of the row that it goes on from, as if they were its
        own; (0, 0) or none for a document that stands alone.
    record: when given, receives (k_LhD, v_LhD) of every layer, for a cache.
    """

    MAX_PADDED = 1.25  # a block holds at most this many times the tokens of its documents

    def __init__(
        self,
        lengths: Sequence[int],
        device: torch.device,
        record: list[tuple[Tensor, Tensor]] | None = None,
        prefixes: Sequence[tuple[int, int]] = (),
    ):
        self.lengths, self.prefixes, self.device = lengths, prefixes or [(0, 0)] * len(lengths), device
        self.record = record

    def __call__(self, layer: int, q_LHD: Tensor, k_LhD: Tensor, v_LhD: Tensor, scale: float, window: int) -> Tensor:
        if self.record is not None:
            self.record.append((k_LhD, v_LhD))
        dtype = q_LHD.dtype
        if not window and can_attend_documents(q_LHD, k_LhD, v_LhD):
            return attend_documents(q_LHD, k_LhD, v_LhD, self._table_N4, scale)
        if can_attend_varlen(q_LHD):
            return attend_varlen(q_LHD, k_LhD, v_LhD, self._layout, scale, window)
        if dtype == torch.bfloat16 and q_LHD.device.type == "cpu":
            # The CPU's fused backward pass takes five times as long in bf16 as in float32 (measured at head size 32).
            q_LHD, k_LhD, v_LhD = q_LHD.float(), k_LhD.float(), v_LhD.float()
        if len(self.lengths) == 1:
            return _causal(q_LHD[None], k_LhD[None], v_LhD[None], scale, window)[0].to(dtype)
        parts = []
        blocks, restore = self._padded
        for index, rows, length in blocks:
            # index_select: the backward pass of x[index] takes a hundred times as long in bf16.
            q, k, v = (x.index_select(0, index).view(rows, length, *x.shape[1:]) for x in (q_LHD, k_LhD, v_LhD))
            parts.append(_causal(q, k, v, scale, window).flatten(0, 1))
        return torch.cat(parts).index_select(0, restore).to(dtype)

    @cached_property
    def _table_N4(self) -> Tensor:  # noqa: N802
        return document_table(self.lengths, self.prefixes)

    @cached_property
    def _layout(self) -> Layout:
        return Layout.of(self.lengths, self.prefixes, self.device)

    @cached_property
    def _padded(self) -> tuple[list[tuple[Tensor, int, int]], Tensor]:
        """Blocks: places of their tokens in the row, documents, tokens of each; and where a token's output stands."""
        own_N = torch.tensor(self.lengths)
        prefix_start_N, prefix_N = torch.tensor(self.prefixes).unbind(-1)
        length_N, start_N = prefix_N + own_N, own_N.cumsum(0) - own_N - prefix_N
        restore = torch.empty(int(own_N.sum()), dtype=torch.long)
        blocks, base = [], 0
        for members in self._similar(length_N.tolist()):
            size_R, start_R = length_N[members, None], start_N[members, None]
            prefix_R, prefix_start_R = prefix_N[members, None], prefix_start_N[members, None]
            longest = int(size_R.max())
            offset_L = torch.arange(longest)
            place = offset_L.minimum(size_R - 1)
            is_shared = place < prefix_R
            index = place + torch.where(is_shared, prefix_start_R, start_R)
            real = (offset_L < size_R) & ~is_shared  # a shared token has its output where it stands whole
            restore[index[real]] = base + real.flatten().nonzero()[:, 0]
            base += index.numel()
            blocks.append((index.flatten().to(self.device), len(members), longest))
        return blocks, restore.to(self.device)

    def _similar(self, lengths: Sequence[int]) -> list[list[int]]:
        """Documents grouped from the longest down, a new group when padding would outgrow MAX_PADDED."""
        groups: list[list[int]] = []
        used = 0
        for member in sorted(range(len(lengths)), key=lambda i: -lengths[i]):
            used += lengths[member]
            if not groups or lengths[groups[-1][0]] * (len(groups[-1]) + 1) > self.MAX_PADDED * used:
                groups.append([])
                used = lengths[member]
            groups[-1].append(member)
        return groups


class Cache:
    """Keys and values of up to `rows` sequences of up to `length` tokens, in contiguous slots."""

    def __init__(self, num_layers: int, rows: int, num_kv_heads: int, length: int, head_size: int, like: Tensor):
        shape = (rows, num_kv_heads, length, head_size)
        self.keys = [like.new_zeros(shape) for _ in range(num_layers)]
        self.values = [like.new_zeros(shape) for _ in range(num_layers)]
        self.length = length

    def fill(self, slots: Tensor, layer: int, k_LhD: Tensor, v_LhD: Tensor, *, offset: int = 0) -> None:
        """Put one prompt's keys and values into several slots from `offset` on: the prefix that a group shares."""
        for cache, new_LhD in ((self.keys[layer], k_LhD), (self.values[layer], v_LhD)):
            cache[slots, :, offset : offset + new_LhD.shape[0]] = new_LhD.transpose(0, 1).to(cache.dtype)

    def move(self, source: int, target: int, length: int) -> None:
        """Copy the first `length` tokens of one slot over another."""
        for cache in (*self.keys, *self.values):
            cache[target, :, :length] = cache[source, :, :length]


class Cached:
    """Attention of one new token of each of the first B slots of a cache over everything before it.

    positions_B: where the new tokens stand. max_length: at least the largest position + 1. is_full: whether every sequence
        sees all of that length; without it, the positions are asked, for which the host waits.
    """

    def __init__(self, cache: Cache, positions_B: Tensor, max_length: int, *, is_full: bool | None = None):
        self.cache, self.positions_B, self.max_length = cache, positions_B, max_length
        self.rows_B = torch.arange(positions_B.shape[0], device=positions_B.device)
        self.distance_BL = positions_B[:, None] - torch.arange(max_length, device=positions_B.device)
        self.is_seen_BL = self.distance_BL >= 0
        self.is_full = bool(self.is_seen_BL.all()) if is_full is None else is_full

    def __call__(self, layer: int, q_LHD: Tensor, k_LhD: Tensor, v_LhD: Tensor, scale: float, window: int) -> Tensor:
        keys, values = self.cache.keys[layer], self.cache.values[layer]
        if can_attend(q_LHD, v_LhD):
            return attend(q_LHD, k_LhD, v_LhD, keys, values, self.positions_B, scale, window)
        keys[self.rows_B, :, self.positions_B] = k_LhD
        values[self.rows_B, :, self.positions_B] = v_LhD
        num_rows, num_heads, size = q_LHD.shape
        # The query heads that share a key head stand as rows of one query: no copy of the keys for each of them.
        q = q_LHD.view(num_rows, keys.shape[1], num_heads // keys.shape[1], size)
        keys, values = keys[:num_rows, :, : self.max_length], values[:num_rows, :, : self.max_length]
        mask = None
        if window and self.max_length > window:
            mask = (self.is_seen_BL & (self.distance_BL < window))[:, None, None]
        elif not self.is_full:
            mask = self.is_seen_BL[:, None, None]
        return F.scaled_dot_product_attention(q, keys, values, attn_mask=mask, scale=scale).reshape(q_LHD.shape)


def _causal(q_RLHD: Tensor, k_RLhD: Tensor, v_RLhD: Tensor, scale: float, window: int) -> Tensor:
    q, k, v = (x.transpose(1, 2) for x in (q_RLHD, k_RLhD, v_RLhD))
    if k.shape[1] != q.shape[1]:
        k, v = (x.repeat_interleave(q.shape[1] // x.shape[1], dim=1) for x in (k, v))
    length = q.shape[2]
    if window and length > window:
        distance = torch.arange(length, device=q.device)[:, None] - torch.arange(length, device=q.device)
        mask = (distance >= 0) & (distance < window)
        out = F.scaled_dot_product_attention(q, k, v, attn_mask=mask, scale=scale)
    else:
        out = F.scaled_dot_product_attention(q, k, v, is_causal=True, scale=scale)
    return out.transpose(1, 2)
