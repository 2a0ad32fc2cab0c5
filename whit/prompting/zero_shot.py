"""The problem, and how to give the answer: nothing else."""

from whit.core.answers import instruction_of
from whit.core.types import Example, Message


def zero_shot(example: Example) -> list[Message]:
    """One user turn: the prompt, then the example's instruction or the sentence of its answer format."""
    instruction = instruction_of(example)
    return [Message("user", f"{example.prompt}\n{instruction}" if instruction else example.prompt)]
