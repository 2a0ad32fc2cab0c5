"""Two tokenisations of one text, set against each other by the bytes that their tokens spell.

A teacher with another tokenizer scores its own tokens. Where one of them spells the same bytes as one of the student's,
what it held likely there can be asked of the student; a token is compared by its bytes, never by its string, which a
server may have mended. Byte offsets are exact where edit distance (arXiv:2301.12726) attaches a neighbour's fragment.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import accumulate, pairwise
from typing import Any

from whit.core.errors import DataError

Target = tuple[tuple[int, ...], tuple[float, ...]]
"""ids_K and logprobs_K of one student token, the likeliest first: what is known of its distribution, nats."""
BYTE = re.compile(r"<0x([0-9A-F]{2})>")  # how SentencePiece names a token that is one byte
SHOWN_BYTES = 20


def align(student_pieces: Sequence[bytes], teacher_pieces: Sequence[bytes]) -> list[tuple[range, range]]:
    """The smallest groups of tokens, student's and teacher's, that spell the same bytes: in order, every token in one.

    A token that spells nothing joins the group before it, or the first one.
    Raises DataError when the two do not spell the same text, and says where they part.
    """
    ours, theirs = b"".join(student_pieces), b"".join(teacher_pieces)
    if ours != theirs:
        raise DataError(_parting(ours, theirs))
    student_ends, teacher_ends = _last_at(student_pieces), _last_at(teacher_pieces)
    shared = [end for end in student_ends if end in teacher_ends and end > 0]
    if not shared:  # no text at all
        groups = [(range(len(student_pieces)), range(len(teacher_pieces)))]
        return groups if student_pieces or teacher_pieces else []
    cuts = [(0, 0), *((student_ends[end], teacher_ends[end]) for end in shared)]
    return [(range(i, k), range(j, m)) for (i, j), (k, m) in pairwise(cuts)]


def token_bytes(tokenizer: Any, ids: Sequence[int]) -> list[bytes]:
    """What each id spells, exactly: together the bytes of the text, where a decoder would mend a part of a character.

    tokenizer: byte-level (GPT-2, Qwen, Llama 3), or with the marks of SentencePiece (Llama 2, Gemma), where a blank that
        the tokenizer sets before every text stands in the first token.
    Raises DataError for a tokenizer whose tokens do not say where blanks stand, and for an id that it does not have.
    """
    pieces = vocabulary(tokenizer).pieces
    if unknown := [index for index in ids if index not in pieces]:
        raise DataError(f"the tokenizer {tokenizer.name_or_path} has no token {unknown[0]}: the ids are another's.")
    return [pieces[index] for index in ids]


def sparse_targets(top_logprobs: Sequence[Any], tokenizer: Any, ids: Sequence[int]) -> list[Target]:
    """What the teacher held likely at each of the student's tokens `ids` of the same text.

    top_logprobs: of a row that `whit write` wrote with --logprobs: [piece, logprob, [[piece, logprob], ...]] for each of
        the teacher's tokens, a piece being its bytes as Latin-1, one character a byte.
    Where a token of the teacher spells one of the student's: the alternatives that are a token of the student's
    vocabulary, and the token itself, with their log-probabilities as they were (they sum to less than 1). Everywhere
    else, also for the tokens that end the student's turn: the student's own token with log-probability 0. A blank that
    the student's template or tokenizer sets before the text is set before the teacher's first token and its alternatives.
    Raises DataError when the teacher's tokens spell another text.
    """
    words = vocabulary(tokenizer)
    targets: list[Target] = [((index,), (0.0,)) for index in ids]
    teacher = [_bytes(piece) for piece, _, _ in top_logprobs]
    student, text = token_bytes(tokenizer, ids), b"".join(teacher)
    while student and ids[len(student) - 1] in words.special and not (text and b"".join(student).endswith(text)):
        student.pop()  # it ends the turn
    lead = _lead(b"".join(student), text)
    for ours, theirs in align(student, [lead + teacher[0], *teacher[1:]] if teacher else []):
        if len(ours) != 1 or len(theirs) != 1:
            continue
        _, logprob, alternatives = top_logprobs[theirs[0]]
        before = lead if theirs[0] == 0 else b""
        named = ((words.ids.get(before + _bytes(piece)), likely) for piece, likely in alternatives)
        known = {index: float(likely) for index, likely in named if index is not None}
        if alternatives:
            known[ids[ours[0]]] = float(logprob)
            best = sorted(known.items(), key=lambda pair: -pair[1])
            targets[ours[0]] = (tuple(index for index, _ in best), tuple(likely for _, likely in best))
    return targets


@dataclass(frozen=True)
class Vocabulary:
    """What each id spells; the id that is written for some bytes; the ids that are no text."""

    pieces: dict[int, bytes]
    ids: dict[bytes, int]
    special: frozenset[int]


@lru_cache(maxsize=4)
def vocabulary(tokenizer: Any) -> Vocabulary:
    """The bytes of a tokenizer's whole vocabulary, both ways. Raises DataError when its tokens do not tell them."""
    decoder = tokenizer.backend_tokenizer.decoder if getattr(tokenizer, "is_fast", False) else None
    kind = "" if decoder is None else decoder.__getstate__().decode()
    is_byte_level = '"ByteLevel"' in kind
    if not is_byte_level and '"ByteFallback"' not in kind and '"Metaspace"' not in kind:
        raise DataError(
            f"the tokenizer {tokenizer.name_or_path} is neither byte-level nor made by SentencePiece: its tokens do not "
            "spell the text to the byte, so they cannot be set against another model's. Distil from the texts alone."
        )
    added = {index: str(token) for index, token in tokenizer.added_tokens_decoder.items()}
    spell = _byte_level if is_byte_level else _sentence_piece
    pieces = {index: spell(token) for token, index in tokenizer.get_vocab().items()}
    if is_byte_level:  # an added token is written as it stands
        pieces |= {index: token.encode() for index, token in added.items()}
    # Of two tokens that spell the same, the tokenizer writes the one that is a piece of text.
    byte_names = set() if is_byte_level else {i for token, i in tokenizer.get_vocab().items() if BYTE.fullmatch(token)}
    order = sorted(pieces, key=lambda index: (index not in added, index not in byte_names, -index))
    special = frozenset(tokenizer.all_special_ids) | added.keys()
    return Vocabulary(pieces, {pieces[index]: index for index in order}, special)


def _last_at(pieces: Sequence[bytes]) -> dict[int, int]:
    """For each offset where a piece ends: how many pieces end there or before."""
    return {end: count for count, end in enumerate(accumulate(map(len, pieces)), 1)}


def _parting(ours: bytes, theirs: bytes) -> str:
    at = next((n for n, (a, b) in enumerate(zip(ours, theirs)) if a != b), min(len(ours), len(theirs)))
    return (
        f"the student's and the teacher's tokens spell different texts: after {at} bytes comes "
        f"{ours[at : at + SHOWN_BYTES]!r} for the student, and {theirs[at : at + SHOWN_BYTES]!r} for the teacher. Encode "
        "the text that the teacher wrote, with a tokenizer that changes no character."
    )


def _lead(ours: bytes, theirs: bytes) -> bytes:
    """The blanks with which the student's text begins and the teacher's does not."""
    before = ours[: len(ours) - len(theirs)] if theirs and ours.endswith(theirs) else b""
    return b"" if before.strip() else before


def _bytes(piece: str) -> bytes:
    return piece.encode("latin-1")


def _byte_level(token: str) -> bytes:
    if all(character in BYTE_OF for character in token):
        return bytes(BYTE_OF[character] for character in token)
    return token.encode()


def _sentence_piece(token: str) -> bytes:
    if byte := BYTE.fullmatch(token):
        return bytes([int(byte[1], 16)])
    return token.replace("▁", " ").encode()


def _characters() -> Iterator[tuple[str, int]]:
    """The character that stands for each byte in byte-level vocabularies (GPT-2's `bytes_to_unicode`)."""
    spare = 256
    for byte in range(256):
        if 33 <= byte <= 126 or 161 <= byte <= 172 or byte >= 174:  # printable, and no blank
            yield chr(byte), byte
        else:
            yield chr(spare), byte
            spare += 1


BYTE_OF = dict(_characters())
