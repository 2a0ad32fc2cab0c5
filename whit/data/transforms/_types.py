"""What a transform is given beside documents: what masking must know of a tokenizer, and a place for counts."""

import re
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cache
from itertools import accumulate
from typing import Any

from whit.data.batch import Document

BLANKS = " \u0120\u2581"  # as byte-level BPE and SentencePiece write one


@dataclass(frozen=True)
class Surroundings:
    """mask_id: what hides a token. kept: ids that are never hidden, special tokens.

    digits: ids of tokens that hold a digit from 0 to 9; opening: those of them that begin with a blank, and so a number.
    points: ids of a point or comma, which may stand inside a number. piece: the text of a token.
    max_length: of the model's context. terms: names of the loss's terms.
    """

    mask_id: int
    kept: frozenset[int] = frozenset()
    digits: frozenset[int] = frozenset()
    opening: frozenset[int] = frozenset()
    points: frozenset[int] = frozenset()
    max_length: int = 2**31
    terms: tuple[str, ...] = ("cross_entropy",)
    piece: Callable[[int], str] = lambda token: ""

    def markers(self, ids: Sequence[int]) -> set[int]:
        """Positions of tags of thinking and answering, and of the roles of turns, however many tokens they take."""
        pieces = [self.piece(token) for token in ids]
        ends = list(accumulate(map(len, pieces)))
        found: set[int] = set()
        for match in MARKER.finditer("".join(pieces)):
            found |= set(range(bisect_right(ends, match.start()), bisect_left(ends, match.end()) + 1))
        return found


@dataclass
class Counts:
    """What a transform did in a step, for the record."""

    seen: dict[str, float] = field(default_factory=dict)

    def add(self, name: str, value: float) -> None:
        self.seen[name] = self.seen.get(name, 0.0) + value


Transform = Callable[[Sequence[Document], Surroundings, int, Counts], list[Document]]
"""From the documents of a step, the surroundings, the step's seed and a place for counts to the documents to train on."""
MARKER = re.compile(
    r"</?(?:think|answer)>"
    r"|<(?:\|im_start\||start_of_turn|\|start_header_id\|)>\w+"  # ChatML, Gemma, Llama 3
    r"|<\|(?:system|user|assistant)\|>|\[/?INST\]"  # Zephyr and Phi, Mistral
    r"|^(?:Question|Answer):",  # the plain template
    re.MULTILINE,
)
BYTE = re.compile(r"<0x[0-9A-F]{2}>")


def surroundings(tokenizer: Any, mask_id: int, max_length: int, terms: Sequence[str]) -> Surroundings:
    """Those of a tokenizer that has a mask token."""
    digits, opening, points = set[int](), set[int](), set[int]()
    for piece, index in tokenizer.get_vocab().items():
        if any("0" <= letter <= "9" for letter in piece) and not BYTE.fullmatch(piece):
            digits.add(index)
            if piece[0] in BLANKS:
                opening.add(index)
        elif piece in (".", ","):
            points.add(index)
    kept = frozenset({*tokenizer.all_special_ids, *tokenizer.get_added_vocab().values()})
    return Surroundings(
        mask_id, kept, frozenset(digits), frozenset(opening), frozenset(points), max_length, tuple(terms),
        cache(lambda token: str(tokenizer.decode([token], skip_special_tokens=False))),
    )  # fmt: skip
