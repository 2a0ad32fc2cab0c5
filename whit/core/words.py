"""Numbers and sentences for people: times, sizes, counts, and lines of at most 80 columns."""

import textwrap
from collections.abc import Iterable

HOURS = 3600.0
WIDTH = 80


def outcome_words(outcome: str) -> str:
    """How a run ended, as its record calls it, in words."""
    return {"no_signal": "nothing to learn from"}.get(outcome, outcome)


def duration(seconds: float) -> str:
    """'45 s', '12 min', '3.5 h'."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    if seconds < 1.5 * HOURS:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / HOURS:.1f} h"


def size(num_bytes: float) -> str:
    """'2.4 GB'."""
    return f"{num_bytes / 1e9:.1f} GB" if num_bytes >= 1e8 else f"{num_bytes / 1e6:.0f} MB"


def count(number: float) -> str:
    """'1.3 M', '47 k'."""
    for unit, scale in (("B", 1e9), ("M", 1e6), ("k", 1e3)):
        if number >= scale:
            return f"{number / scale:.1f} {unit}"
    return f"{number:.0f}"


def plural(number: int, one: str, several: str = "") -> str:
    """'1 step', '2 steps', '0 studies'. several: where it is not the one with an s."""
    return f"{number:,} {one if number == 1 else several or one + 's'}"


def ranges(numbers: Iterable[int]) -> str:
    """'0, 3-5': numbers in order, neighbours together."""
    runs: list[list[int]] = []
    for number in sorted(numbers):
        if runs and number == runs[-1][1] + 1:
            runs[-1][1] = number
        else:
            runs.append([number, number])
    return ", ".join(f"{first}" if first == last else f"{first}-{last}" for first, last in runs)


def wrapped(text: str, *, first: str = "", rest: str = "  ", width: int = WIDTH) -> str:
    """The text in lines of `width`; a path or another word that is longer stays whole.

    first, rest: what the first line, and the others, begin with.
    """
    return textwrap.fill(
        text, width, initial_indent=first, subsequent_indent=rest, break_long_words=False, break_on_hyphens=False
    )
