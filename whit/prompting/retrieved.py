"""Worked examples that are near to the problem, as earlier turns; the nearest stands last.  Source: arXiv:2101.06804."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from whit.core.answers import completion_text
from whit.core.types import Example, Message
from whit.prompting.instruction_first import instruction_first
from whit.prompting.zero_shot import zero_shot


def retrieved(example: Example, near: Mapping[str, Sequence[Example]], *, first: bool = False) -> list[Message]:
    """The examples of `near`, by the id of the problem and nearest first, then the problem itself.

    The instruction stands once, in the last turn or, with `first`, at the start of the first: labels that are listed there
    are listed once. A problem without examples is asked as it is.
    """
    shots = list(reversed(near.get(example.id, ())))
    turns = [replace(one, instruction="") for one in (*shots, example)]
    place = 0 if first else -1
    turns[place] = replace(turns[place], instruction=example.instruction, answer_format=example.answer_format)
    ask = instruction_first if first else zero_shot
    messages: list[Message] = []
    for shot, turn in zip(shots, turns, strict=False):
        messages += [*ask(turn), Message("assistant", completion_text(shot, with_rationale=False))]
    return [*messages, *ask(turns[-1])]
