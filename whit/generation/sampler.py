"""The next token of each row: one uniform number a token, put through the inverse of the cumulative distribution.

The number depends on (seed, prompt, sample, position) alone, so a completion's random numbers do not depend on what else
is in the batch.
"""

from typing import Literal

import numpy as np
import torch
from pydantic import Field
from torch import Tensor

from whit.core.settings import Frozen


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
    logits_BV = logits_BV.to(torch.promote_types(logits_BV.dtype, torch.float32))
    if sampling.is_greedy:
        ids_B = logits_BV.argmax(-1)
        return ids_B, logits_BV.gather(-1, ids_B[:, None])[:, 0] - logits_BV.logsumexp(-1)
    logp_BV = (logits_BV / sampling.temperature).log_softmax(-1)
    p_BV = logp_BV.exp()
    if sampling.top_k or sampling.top_p < 1:
        ids_B = _from_kept(p_BV, uniform_B, sampling)
    else:
        ids_B = _inverse(p_BV, uniform_B)
    return ids_B, logp_BV.gather(-1, ids_B[:, None])[:, 0]


def _from_kept(p_BV: Tensor, uniform_B: Tensor, sampling: Sampling) -> Tensor:
    sorted_BK, ids_BK = _most_likely(p_BV, sampling)
    if sampling.top_p < 1:  # keep tokens until their sum reaches top_p, the one that crosses included
        before_BK = sorted_BK.cumsum(-1) - sorted_BK
        kept = sorted_BK.sum(-1, keepdim=True) if sampling.top_k else 1.0
        sorted_BK = sorted_BK.where(before_BK < sampling.top_p * kept, 0)
    return ids_BK.gather(-1, _inverse(sorted_BK, uniform_B)[:, None])[:, 0]


def _most_likely(p_BV: Tensor, sampling: Sampling) -> tuple[Tensor, Tensor]:
    """Probabilities and ids in falling order: the top k, or as many as every row needs to reach top_p.

    Sorting a whole vocabulary costs more than the model's own step, and a few tokens nearly always do.
    """
    size = p_BV.shape[-1]
    count = min(sampling.top_k or 64, size)
    while True:
        top_BK, ids_BK = p_BV.topk(count, dim=-1)
        if sampling.top_k or count == size or bool((top_BK.sum(-1) >= sampling.top_p).all()):
            return top_BK, ids_BK
        count = min(8 * count, size)


def _inverse(p_BV: Tensor, uniform_B: Tensor) -> Tensor:
    """The first token whose cumulative probability exceeds the uniform number times the total."""
    cumulative_BV = p_BV.double().cumsum(-1)
    target_B1 = uniform_B[:, None].to(cumulative_BV) * cumulative_BV[:, -1:]
    index_B = torch.searchsorted(cumulative_BV, target_B1, right=True)[:, 0]
    return index_B.clamp(max=p_BV.shape[-1] - 1)
