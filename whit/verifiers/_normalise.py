"""Text as the verifiers of words compare it."""

import unicodedata
from itertools import groupby

OPENING = "\"'“”‘’«»`*_([{ "
CLOSING = OPENING + ")]}.,;:!?…"  # no full stop in OPENING: '.5' is not '5'; no minus in either: '-5' is not '5'


def normalised(text: str) -> str:
    """Casefolded, one space between words, no outer quotes, brackets or closing punctuation; articles are kept.

    Text that is punctuation only is compared as it stands. Raised, lowered and circled digits and written fractions stay
    what they are: 5² is not 52.
    """
    runs = ((keeps, "".join(run)) for keeps, run in groupby(text, _holds_digits))
    text = "".join(run if keeps else unicodedata.normalize("NFKC", run) for keeps, run in runs)
    text = " ".join(text.casefold().split())
    return text.lstrip(OPENING).rstrip(CLOSING) or text


def _holds_digits(character: str) -> bool:
    """Whether NFKC would make digits of a character that is no digit: '²', '₂', '④', '½'; not of the full-width '５'."""
    if character.isascii() or character.isdecimal():
        return False
    return any(map(str.isdecimal, unicodedata.normalize("NFKC", character)))
