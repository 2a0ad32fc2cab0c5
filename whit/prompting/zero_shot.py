"""The problem, and how to give the answer: nothing else."""

from whit.core.answers import INSTRUCTIONS
from whit.core.types import Example, Message


def zero_shot(example: Example) -> list[Message]:
    """One user turn: the prompt, then the example's instruction or the sentence of its answer format."""
    instruction = INSTRUCTIONS[example.answer_format] if example.instruction is None else example.instruction
    return [Message("user", f"{example.prompt}\n{instruction}" if instruction else example.prompt)]
