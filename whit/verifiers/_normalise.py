"""Text as the verifiers of words compare it."""

import unicodedata

OPENING = "\"'“”‘’«»`*_([{ "
CLOSING = OPENING + ")]}.,;:!?…"  # no full stop in OPENING: '.5' is not '5'; no minus in either: '-5' is not '5'


def normalised(text: str) -> str:
    """Casefolded, one space between words, no outer quotes, brackets or closing punctuation; articles are kept.

    Text that is punctuation only is compared as it stands.
    """
    text = " ".join(unicodedata.normalize("NFKC", text).casefold().split())
    return text.lstrip(OPENING).rstrip(CLOSING) or text
