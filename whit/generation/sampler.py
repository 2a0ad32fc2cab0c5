"""The next token of each row: one uniform number a token, put through the inverse of the cumulative distribution.

The number depends on (seed, prompt, sample, position) alone, so a completion's random numbers do not depend on what else
is in the batch.
"""

from collections.abc import Callable
from typing import Literal

import numpy as np
import torch
from pydantic import Field
from torch import Tensor

from whit.core.settings import Frozen
from whit.kernels.build import native, runs


class Sampling(Frozen):
    """How tokens are chosen. temperature = 0 is greedy; top_p = 1 and top_k = 0 keep the whole vocabulary.

    max_new_tokens: where a completion is cut off; 0 takes the recipe's.
    """

    temperature: float = Field(1.0, ge=0)
    top_p: float = Field(1.0, gt=0, le=1)
    top_k: int = Field(0, ge=0)
    max_new_tokens: int = Field(0, ge=0)
    stop: tuple[str, ...] = ()

    def within(self, max_new_tokens: int) -> "Sampling":
        """The same with the recipe's limit, where none is set."""
        return self if self.max_new_tokens else self.model_copy(update={"max_new_tokens": max_new_tokens})

    @property
    def is_greedy(self) -> bool:
        return self.temperature == 0.0


BLOCK = 256  # tokens of the vocabulary whose probabilities are summed first
SMALL_BLOCK = 64  # and those whose maximum says whether the most likely ones are among them
CHUNK_NUMBERS = 1 << 19  # logits looked at together on a CPU: what is made of them stays in its cache
GREEDY = Sampling(temperature=0.0)
Finish = Literal["stop", "length"]


def uniforms(keys_B: np.ndarray, positions_B: np.ndarray) -> Tensor:
    """One number in [0, 1) for each (key, position), by mixing their bits (splitmix64).

    keys_B: uint64, one per completion, from the stream's (seed, prompt, sample).
    """
    with np.errstate(over="ignore"):
        z = keys_B + (positions_B.astype(np.uint64) + np.uint64(1)) * np.uint64(0x9E3779B97F4A7C15)
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        z = z ^ (z >> np.uint64(31))
    return torch.from_numpy((z >> np.uint64(11)).astype(np.float64) * 2.0**-53)


def choose(logits_BV: Tensor, uniform_B: Tensor, sampling: Sampling) -> tuple[Tensor, Tensor]:
    """Token ids [B] and their log-probabilities [B].

    The log-probability is under softmax(logits / temperature) before top-p and top-k, in float32 at least; a greedy
    token's is under temperature 1.
    """
    if runs(logits_BV) and logits_BV.is_contiguous():
        return _compiled(logits_BV, uniform_B, sampling)
    rows = len(logits_BV)
    if logits_BV.device.type == "cpu":
        rows = max(1, CHUNK_NUMBERS // logits_BV.shape[-1])
    parts = zip(torch.split(logits_BV, rows), torch.split(uniform_B, rows), strict=True)
    ids, logprobs = zip(*(_choose(logits_RV, uniform_R, sampling) for logits_RV, uniform_R in parts), strict=True)
    return torch.cat(ids), torch.cat(logprobs)


def _compiled(logits_BV: Tensor, uniform_B: Tensor, sampling: Sampling) -> tuple[Tensor, Tensor]:
    ids_B, logprobs_B = torch.empty(len(logits_BV), dtype=torch.long), torch.empty(len(logits_BV))
    uniform_B = uniform_B.double().contiguous()
    native().sample(
        logits_BV.data_ptr(), uniform_B.data_ptr(), ids_B.data_ptr(), logprobs_B.data_ptr(), *logits_BV.shape,
        0.0 if sampling.is_greedy else 1 / sampling.temperature, sampling.top_k, sampling.top_p, torch.get_num_threads(),
    )  # fmt: skip
    return ids_B, logprobs_B


def _choose(logits_BV: Tensor, uniform_B: Tensor, sampling: Sampling) -> tuple[Tensor, Tensor]:
    logits_BV = logits_BV.to(torch.promote_types(logits_BV.dtype, torch.float32), copy=not sampling.is_greedy)
    if sampling.is_greedy:
        ids_B = logits_BV.argmax(-1)
        return ids_B, logits_BV.gather(-1, ids_B[:, None])[:, 0] - logits_BV.logsumexp(-1)
    logits_BV.div_(sampling.temperature).sub_(logits_BV.amax(-1, keepdim=True))
    mass_BV = logits_BV.exp()
    upto_BK = _by_block(mass_BV, BLOCK, torch.sum).double().cumsum(-1)
    if sampling.top_k or sampling.top_p < 1:
        ids_B = _from_kept(mass_BV, upto_BK[:, -1:], uniform_B, sampling)
    else:
        ids_B = _from_all(mass_BV, upto_BK, uniform_B)
    return ids_B, logits_BV.gather(-1, ids_B[:, None])[:, 0] - upto_BK[:, -1].log().to(logits_BV.dtype)


def _largest(mass_BV: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """`topk` over the vocabulary: the k largest lie in the k blocks with the largest maxima."""
    size = mass_BV.shape[-1]
    if count * SMALL_BLOCK > size // 4:
        return mass_BV.topk(count, dim=-1)
    _, blocks_BK = _by_block(mass_BV, SMALL_BLOCK, torch.amax).topk(count, dim=-1, sorted=False)
    index_BN = (blocks_BK[..., None] * SMALL_BLOCK + torch.arange(SMALL_BLOCK, device=mass_BV.device)).flatten(1)
    inside_BN = mass_BV.gather(-1, index_BN.clamp(max=size - 1)).where(index_BN < size, -1.0)
    top_BK, places_BK = inside_BN.topk(count, dim=-1)
    return top_BK, index_BN.gather(-1, places_BK)


def _by_block(mass_BV: Tensor, block: int, reduce: Callable[..., Tensor]) -> Tensor:
    """Sums or maxima [B, K] over blocks of the vocabulary; the last one may be short."""
    whole = mass_BV.shape[-1] // block * block
    of_whole_BK = reduce(mass_BV[:, :whole].unflatten(1, (-1, block)), -1)  # type: ignore[no-untyped-call]
    if whole == mass_BV.shape[-1]:
        return of_whole_BK
    return torch.cat((of_whole_BK, reduce(mass_BV[:, whole:], -1, keepdim=True)), -1)


def _from_all(mass_BV: Tensor, upto_BK: Tensor, uniform_B: Tensor) -> Tensor:
    """The inverse in two steps, a block and then a token of it: a running sum over the whole vocabulary costs more."""
    target_B1 = uniform_B[:, None].to(upto_BK) * upto_BK[:, -1:]
    block_B1 = torch.searchsorted(upto_BK, target_B1, right=True).clamp(max=upto_BK.shape[-1] - 1)
    before_B1 = upto_BK.gather(-1, block_B1 - 1 + (block_B1 == 0)).where(block_B1 > 0, 0.0)
    index_BN = block_B1 * BLOCK + torch.arange(BLOCK, device=mass_BV.device)
    is_there_BN = index_BN < mass_BV.shape[-1]
    inside_BN = (
        mass_BV.gather(-1, index_BN.clamp(max=mass_BV.shape[-1] - 1)).double().where(is_there_BN, 0.0).cumsum(-1)
    )
    # Blocks are summed in float32, and their tokens in float64: the target may lie a rounding outside of its block.
    inside_B1 = (target_B1 - before_B1).clamp(min=0.0).minimum(inside_BN[:, -1:] * (1 - 2.0**-50))
    place_B1 = torch.searchsorted(inside_BN, inside_B1, right=True).clamp(max=BLOCK - 1)
    return index_BN.gather(-1, place_B1)[:, 0].clamp(max=mass_BV.shape[-1] - 1)


def _from_kept(mass_BV: Tensor, total_B1: Tensor, uniform_B: Tensor, sampling: Sampling) -> Tensor:
    sorted_BK, ids_BK = _most_likely(mass_BV, total_B1, sampling)
    if sampling.top_p < 1:  # keep tokens until their sum reaches top_p, the one that crosses included
        before_BK = sorted_BK.cumsum(-1) - sorted_BK
        kept = sorted_BK.sum(-1, keepdim=True) if sampling.top_k else 1.0
        sorted_BK = sorted_BK.where(before_BK < sampling.top_p * kept, 0)
    upto_BK = sorted_BK.double().cumsum(-1)
    target_B1 = uniform_B[:, None].to(upto_BK) * upto_BK[:, -1:]
    place_B1 = torch.searchsorted(upto_BK, target_B1, right=True).clamp(max=upto_BK.shape[-1] - 1)
    return ids_BK.gather(-1, place_B1)[:, 0]


def _most_likely(mass_BV: Tensor, total_B1: Tensor, sampling: Sampling) -> tuple[Tensor, Tensor]:
    """Probabilities and ids in falling order: the top k, or as many as every row needs to reach top_p.

    Sorting a whole vocabulary costs more than the model's own step, and a few tokens nearly always do. On a GPU all are
    sorted: to ask whether a few do, the host would have to wait.
    """
    size = mass_BV.shape[-1]
    count = min(sampling.top_k or (size if mass_BV.is_cuda else 64), size)
    while True:
        top_BK, ids_BK = _largest(mass_BV, count)
        top_BK = top_BK / total_B1.to(top_BK)
        if sampling.top_k or count == size or bool((top_BK.sum(-1) >= sampling.top_p).all()):
            return top_BK, ids_BK
        count = min(8 * count, size)
