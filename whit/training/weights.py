"""Reduction as a weight per token and term, fixed before the forward pass.

The denominators count the whole optimizer step, so cutting a step into micro-batches cannot change the loss.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from whit.data.batch import Document
from whit.kernels.transfer import moved
from whit.objectives._types import Term


def token_weights(documents: Sequence[Document], term: Term) -> list[float]:
    """The weight of each supervised token of each document under `term`, or of each group of tokens; one number a document.

    A document that the term ignores (weight 0) counts in no denominator.
    """
    importance = [document.weights.get(term.name, 1.0) for document in documents]
    sizes = [len(d.twin.groups) if term.is_grouped and d.twin else d.num_supervised for d in documents]
    counted = [size for size, weight in zip(sizes, importance, strict=True) if weight and size]
    if not counted:
        return [0.0] * len(documents)
    match term.reduction:
        case "token":
            share = [1 / sum(counted)] * len(documents)
        case "sequence":
            share = [1 / (len(counted) * size) if size else 0.0 for size in sizes]
        case "constant":
            share = [1 / (len(counted) * term.constant_length)] * len(documents)
    return [weight * s for weight, s in zip(importance, share, strict=True)]


def spread(per_document: Sequence[float], sequence_T: Tensor, dtype: torch.dtype = torch.float32) -> Tensor:
    """[T]: each supervised token takes the weight of its document."""
    return moved(torch.tensor(per_document, dtype=dtype), sequence_T.device)[sequence_T]
