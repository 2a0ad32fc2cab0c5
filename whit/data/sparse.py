"""What is kept of a teacher's distribution over the vocabulary: its likeliest tokens, or tokens drawn from it.

Likeliest tokens say most about the head and nothing about the tail, so that a loss on them alone is biased. Draws are
right on average: the expected share of a token is its probability.  Source: RS-KD, arXiv:2503.16870.
"""

import numpy as np
import torch
from torch import Tensor

from whit.core.errors import RunError
from whit.core.seeds import key64
from whit.data.batch import Document
from whit.data.teacher_cache import document_key

DRAWS = 50  # the paper's; about 12 different tokens


def top_entries(logits_TV: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """ids_TK (int64) and logprobs_TK (float32 log-softmax at temperature 1, nats) of the K = min(k, V) likeliest tokens.

    The likeliest stands first. Raises RunError for logits that are no numbers.
    """
    logits_TV = logits_TV.float()
    total_T1 = logits_TV.logsumexp(-1, keepdim=True)
    _check(total_T1)
    top_TK, ids_TK = logits_TV.topk(min(k, logits_TV.shape[-1]), -1)
    return ids_TK, top_TK - total_T1


def sampled_entries(logits_TV: Tensor, uniforms_TK: Tensor, *, temperature: float = 1.0) -> tuple[Tensor, Tensor]:
    """ids_TK and counts_TK (int64) of the tokens that are drawn with replacement from softmax(logits / temperature).

    uniforms_TK: a number in [0, 1) for every draw, as `uniforms` gives them; what is returned is as wide as the token with
        the most different draws. Ids ascend; where a token has fewer, id and count are 0.
    Raises RunError for logits that are no numbers.
    """
    cumulative_TV = (logits_TV.float() / temperature).softmax(-1).cumsum(-1, dtype=torch.float64)
    total_T1 = cumulative_TV[:, -1:]
    _check(total_T1)
    uniforms_TK = uniforms_TK.to(cumulative_TV) * total_T1
    # right: the first token whose sum is above the number, which is never one of probability 0.
    drawn_TK = torch.searchsorted(cumulative_TV, uniforms_TK, right=True).clamp(max=logits_TV.shape[-1] - 1)
    drawn_TK = drawn_TK.sort(-1).values
    is_new_TK = torch.ones_like(drawn_TK, dtype=torch.bool)
    is_new_TK[:, 1:] = drawn_TK[:, 1:] != drawn_TK[:, :-1]
    place_TK = is_new_TK.cumsum(-1) - 1
    ids_TK = torch.zeros_like(drawn_TK).scatter_(-1, place_TK, drawn_TK)
    counts_TK = torch.zeros_like(drawn_TK).scatter_add_(-1, place_TK, torch.ones_like(drawn_TK))
    width = int(is_new_TK.sum(-1).max()) if len(drawn_TK) else 0
    return ids_TK[:, :width], counts_TK[:, :width]


def uniforms(seed: int, document: Document, draws: int = DRAWS) -> Tensor:
    """uniforms_TK (float64) in [0, 1) for `sampled_entries`: they depend on the seed and the document alone.

    So a pass that goes on after a kill, or with other micro-batches, draws the same.
    """
    rng = np.random.default_rng(key64(seed, "teacher_draws", document_key(document).hex()))
    return torch.from_numpy(rng.random((document.num_supervised, draws)))


def _check(total_T1: Tensor) -> None:
    """total_T1: a sum over each token's vocabulary, which one logit that is no number spoils."""
    if not bool(total_T1.isfinite().all()):
        token = int((~total_T1[:, 0].isfinite()).nonzero()[0])
        raise RunError(
            f"the teacher's logits of supervised token {token} are not finite. What was written before is kept; "
            "run the teacher in float32 or bfloat16, and see that its weights are whole."
        )
