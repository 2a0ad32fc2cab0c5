"""Which tokens of a document may be hidden, and which are."""

from collections.abc import Sequence

from whit.core.errors import RecipeError
from whit.core.seeds import stream
from whit.data.batch import Document
from whit.data.transforms._types import Surroundings


def eligible(document: Document, words: Surroundings, *, keep_answer: bool, inside: bool = False) -> list[int]:
    """Positions that may be hidden: no special token or marker, not the last one, and no digit of the final answer.

    inside: only supervised positions, such as those of an answer whose prompt is given.
    """
    last = len(document.ids) - 1
    kept = words.markers(document.ids) | (final_digits(document.ids, words) if keep_answer else set())
    places = (p for start, end in document.spans for p in range(start, end)) if inside else range(last)
    return [p for p in places if p < last and p not in kept and document.ids[p] not in words.kept]


def final_digits(ids: Sequence[int], words: Surroundings) -> set[int]:
    """Positions of the digits of the last number of a text, which may have a point or comma between them."""
    found: set[int] = set()
    for position in range(len(ids) - 1, -1, -1):
        token = ids[position]
        is_inside = token in words.points and position > 0 and ids[position - 1] in words.digits
        if token in words.digits:
            found.add(position)
            if token in words.opening:
                break
        elif found and not is_inside:
            break
    return found


def drawn(places: Sequence[int], share: float, seed: int, index: int) -> list[int]:
    """A share of the places, rounded down but at least one, in order; none for a share of 0.

    Rows have streams of their own: the reference masks the same positions in every row of a step.
    """
    if not places or not share:
        return []
    return sorted(stream(seed, "mask", index).sample(places, max(1, int(share * len(places)))))


def hidden(document: Document, positions: Sequence[int], mask_id: int) -> list[int]:
    """The document's ids with the mask token at these positions."""
    ids = list(document.read)
    for position in positions:
        ids[position] = mask_id
    return ids


def in_answer(
    document: Document, words: Surroundings, seed: int, index: int, *, share: float, longer_than: int, keep_answer: bool
) -> list[int]:
    """The positions that are hidden in the copy of an answer; none where it is too short to have one.

    Raises RecipeError for a document that carries a teacher's values a token: a copy has other tokens to score.
    """
    if document.recorded or document.twin is not None:
        raise RecipeError(
            "transform: a masked copy of a text has nothing of what a cache, or a teacher of other tokens, says of "
            'its tokens. Use transform = "meap", which scores the same tokens, or a teacher that is asked as it trains.'
        )
    has_end = document.ids[-1] in words.kept and document.spans[-1][1] == len(document.ids)
    if document.num_supervised - has_end <= longer_than:
        return []
    return drawn(eligible(document, words, keep_answer=keep_answer, inside=True), share, seed, index)
