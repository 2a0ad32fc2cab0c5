"""The instruction before the problem: what all problems share stands at the start, and is computed once."""

from whit.core.answers import instruction_of
from whit.core.types import Example, Message


def instruction_first(example: Example) -> list[Message]:
    """One user turn: the example's instruction or the sentence of its answer format, then the prompt."""
    instruction = instruction_of(example)
    return [Message("user", f"{instruction}\n{example.prompt}" if instruction else example.prompt)]
