"""What a transform is given beside documents: what masking must know of a tokenizer, and a place for counts."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from whit.data.batch import Document


@dataclass(frozen=True)
class Surroundings:
    """mask_id: what hides a token. kept: ids that are never hidden: special tokens and markers of templates.

    digits: ids of tokens that hold a digit. max_length: of the model's context. terms: names of the loss's terms.
    """

    mask_id: int
    kept: frozenset[int] = frozenset()
    digits: frozenset[int] = frozenset()
    max_length: int = 2**31
    terms: tuple[str, ...] = ("cross_entropy",)


@dataclass
class Counts:
    """What a transform did in a step, for the record."""

    seen: dict[str, float] = field(default_factory=dict)

    def add(self, name: str, value: float) -> None:
        self.seen[name] = self.seen.get(name, 0.0) + value


Transform = Callable[[Sequence[Document], Surroundings, int, Counts], list[Document]]
"""From the documents of a step, the surroundings, the step's seed and a place for counts to the documents to train on."""
MARKERS = ("<think>", "</think>", "<answer>", "</answer>", "<|", "|>")


def surroundings(tokenizer: Any, mask_id: int, max_length: int, terms: Sequence[str]) -> Surroundings:
    """Those of a tokenizer that has a mask token."""
    kept, digits = set(tokenizer.all_special_ids) | set(tokenizer.get_added_vocab().values()), set[int]()
    for piece, index in tokenizer.get_vocab().items():
        if any(marker in piece for marker in MARKERS):
            kept.add(index)
        if any(letter.isdigit() for letter in piece):
            digits.add(index)
    return Surroundings(mask_id, frozenset(kept), frozenset(digits), max_length, tuple(terms))
