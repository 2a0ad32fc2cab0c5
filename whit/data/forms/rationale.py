"""The worked solution, then the answer: what chain-of-thought fine-tuning teaches.  Source: arXiv:2212.08410."""

from whit.core.answers import completion_text
from whit.core.types import Example


def rationale(example: Example) -> str | None:
    """The rationale as it stands, then the answer; None where there is no rationale."""
    return completion_text(example) if example.rationale else None
