"""Worked examples that are near to the problem, as earlier turns; the nearest stands last.  Source: arXiv:2101.06804."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from whit.core.answers import completion_text
from whit.core.types import Example, Message
from whit.prompting.zero_shot import zero_shot


def retrieved(example: Example, near: Mapping[str, Sequence[Example]]) -> list[Message]:
    """The examples of `near`, by the id of the problem and nearest first, then the problem itself.

    They are shown without the instruction, which the last turn has: labels that are listed there are listed once. A problem
    without examples is asked as it is.
    """
    messages: list[Message] = []
    for shot in reversed(near.get(example.id, ())):
        messages += [
            *zero_shot(replace(shot, instruction="")),
            Message("assistant", completion_text(shot, with_rationale=False)),
        ]
    return [*messages, *zero_shot(example)]
