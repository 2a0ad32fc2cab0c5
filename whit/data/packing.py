"""Best-fit packing: which documents share a micro-batch.  Source: arXiv:2404.10830."""

from bisect import bisect_left, insort
from collections.abc import Sequence

from whit.core.errors import DataError


def pack(lengths: Sequence[int], max_tokens: int) -> list[list[int]]:
    """Indices of documents, grouped so that no group holds more than `max_tokens` tokens.

    Longest first, each into the fullest group that still takes it. No document is cut or dropped.
    Raises DataError when one document alone is longer than `max_tokens`.
    """
    rows: list[list[int]] = []
    free: list[tuple[int, int]] = []  # (tokens left, row), sorted
    for index in sorted(range(len(lengths)), key=lambda i: (-lengths[i], i)):
        length = lengths[index]
        if length > max_tokens:
            raise DataError(
                f"document {index} has {length} tokens, more than a micro-batch of {max_tokens}. "
                "Set max_tokens to at least its length, or leave it out."
            )
        place = bisect_left(free, (length, -1))
        if place == len(free):
            rows.append([index])
            insort(free, (max_tokens - length, len(rows) - 1))
            continue
        left, row = free.pop(place)
        rows[row].append(index)
        insort(free, (left - length, row))
    return rows
