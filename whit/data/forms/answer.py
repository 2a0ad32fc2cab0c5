"""The answer alone, in the form that the prompt asks for: what is taught where no reasoning is to be written."""

from whit.core.answers import completion_text
from whit.core.types import Example


def answer(example: Example) -> str | None:
    """The gold answer and nothing before it, whether there is a rationale or not."""
    return completion_text(example, with_rationale=False)
