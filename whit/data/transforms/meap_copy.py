"""Fine-tuning beside a copy of each answer with hidden tokens, whose loss is on those alone.  Source: arXiv:2502.07490."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Annotated

from pydantic import Field

from whit.data.batch import Document
from whit.data.transforms._positions import hidden, in_answer
from whit.data.transforms._types import Counts, Surroundings


def meap_copy(
    documents: Sequence[Document],
    words: Surroundings,
    seed: int,
    counts: Counts,
    *,
    share: Annotated[float, Field(ge=0, le=1)] = 0.1,
    longer_than: Annotated[int, Field(ge=0)] = 50,
    weight: Annotated[float, Field(gt=0)] = 1.0,
    keep_answer: bool = True,
) -> list[Document]:
    """The documents, and after each whose answer is long enough its masked copy: prompts stay, answer tokens are hidden.

    share: of the answer's eligible tokens, hidden anew at every step; the reference draws them once.
    longer_than: tokens of an answer, without its end of turn, that has a copy.
    weight: of the copy's tokens in the loss. Every scored token of a batch counts 1, so with 1 a copy weighs about `share`
        of its text; the reference's mean over examples gives it the weight of the text.
    keep_answer: leave the digits of the last number to be read (inferred).
    """
    made: list[Document] = []
    for index, document in enumerate(documents):
        made.append(document)
        places = in_answer(document, words, seed, index, share=share, longer_than=longer_than, keep_answer=keep_answer)
        if not places:
            continue
        counts.add("copies", 1)
        counts.add("masked", len(places))
        weights = {**document.weights, **{name: weight * document.weights.get(name, 1.0) for name in words.terms}}
        spans = tuple((p, p + 1) for p in places)
        made.append(replace(document, shown=hidden(document, places, words.mask_id), spans=spans, weights=weights))
    return made
