"""A text and its copy with hidden tokens in one sequence, as the paper's equation has it.  Source: arXiv:2502.07490.

Another objective than `meap_copy`, which is what the released code does: here the copy can look up what it hides in the
text before it.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Annotated

from pydantic import Field

from whit.data.batch import Document
from whit.data.transforms._positions import hidden, in_answer
from whit.data.transforms._types import Counts, Surroundings


def meap_joined(
    documents: Sequence[Document],
    words: Surroundings,
    seed: int,
    counts: Counts,
    *,
    share: Annotated[float, Field(ge=0, le=1)] = 0.1,
    longer_than: Annotated[int, Field(ge=0)] = 50,
    keep_answer: bool = True,
) -> list[Document]:
    """The documents; those whose answer is long enough, and that fit the context twice, with their masked copy behind them.

    Positions go on; the loss is on the answer of the text and on the hidden tokens of the copy. The settings are those of
    `meap_copy`.
    """
    made: list[Document] = []
    for index, document in enumerate(documents):
        places = in_answer(document, words, seed, index, share=share, longer_than=longer_than, keep_answer=keep_answer)
        length = len(document.ids)
        if 2 * length > words.max_length:
            counts.add("copies_too_long", bool(places))
            places = []
        if not places:
            made.append(document)
            continue
        counts.add("copies", 1)
        counts.add("masked", len(places))
        spans = (*document.spans, *((length + p, length + p + 1) for p in places))
        shown = [*document.read, *hidden(document, places, words.mask_id)]
        made.append(replace(document, ids=[*document.ids, *document.ids], shown=shown, spans=spans))
    return made
