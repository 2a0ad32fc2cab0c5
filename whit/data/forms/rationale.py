"""The worked solution, then the answer: what fine-tuning on chains of thought teaches."""

from whit.core.answers import completion_text
from whit.core.types import Example


def rationale(example: Example) -> str | None:
    """The rationale as it stands, then the answer; None where there is no rationale."""
    return completion_text(example) if example.rationale else None
