"""Worked examples of the training split before the problem, as earlier turns.  Source: arXiv:2005.14165."""

from collections.abc import Sequence

from whit.core.answers import completion_text
from whit.core.seeds import stream
from whit.core.types import Example, Message
from whit.prompting.zero_shot import zero_shot


def few_shot(example: Example, demonstrations: Sequence[Example], *, shots: int = 4, seed: int = 0) -> list[Message]:
    """`shots` demonstrations, the same for every example of a seed, then the example itself.

    demonstrations: examples of the training split; shots = 0 is `zero_shot`.
    """
    chosen = stream(seed, "few_shot").sample(list(demonstrations), min(shots, len(demonstrations)))
    messages: list[Message] = []
    for shot in chosen:
        messages += [*zero_shot(shot), Message("assistant", completion_text(shot))]
    return [*messages, *zero_shot(example)]
