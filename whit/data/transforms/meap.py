"""Next-token prediction from a text in which some input tokens are hidden; every target stays.  Source: arXiv:2502.07490.

The token before a hidden one still predicts it, and the mask itself predicts what follows it.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Annotated

from pydantic import Field

from whit.data.batch import Document
from whit.data.transforms._positions import drawn, eligible, hidden
from whit.data.transforms._types import Counts, Surroundings


def meap(
    documents: Sequence[Document],
    words: Surroundings,
    seed: int,
    counts: Counts,
    *,
    share: Annotated[float, Field(ge=0, le=1)] = 0.15,
    keep_answer: bool = True,
) -> list[Document]:
    """The documents, each with a share of its eligible tokens hidden, fresh ones for every document and step.

    share: 0.15 is the paper's for pre-training; 0 is next-token prediction to the bit, with a mask token in the vocabulary.
    keep_answer: leave the digits of the last number to be read (inferred: a hidden one cannot be predicted but by chance).
    """
    shown = []
    for index, document in enumerate(documents):
        places = drawn(eligible(document, words, keep_answer=keep_answer), share, seed, index)
        counts.add("masked", len(places))
        shown.append(replace(document, shown=hidden(document, places, words.mask_id)) if places else document)
    return shown
