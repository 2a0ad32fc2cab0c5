"""Sub-questions: every step of the solution after the question that it answers.

After "Distilling reasoning capabilities into smaller language models", arXiv:2212.00193: no method card; from the abstract,
as remembered. The paper trains one model to ask and one to answer; here one model writes both.
"""

import re

from whit.core.answers import completion_text
from whit.core.types import Example
from whit.data.forms._steps import CONTINUED, noted, written

ASKED = " ** "  # between question and step, in the socratic edition of GSM8K
SENTENCE_END = re.compile(r"(?<=[.!?])\s+(?=[^\Wa-z_]|[$(])")


def socratic(example: Example) -> str | None:
    """Each step of the rationale on a line with its question before it, then the answer; None when there is no step.

    The questions are those of the rationale where it has them, as 'question ** step'. Else a step is a sentence with an
    equation, and the question is made from that: 'What is 48 / 2?'. Other sentences stand as they are.
    """
    text = example.rationale or ""
    lines = text.split("\n")
    if any(ASKED in line for line in lines):
        return "\n".join([*(line.replace(ASKED, " ") for line in lines), _answer(example)])
    sentences = [s for line in CONTINUED.sub(" ", text).split("\n") for s in SENTENCE_END.split(line) if s]
    taught = [_asked(sentence) for sentence in sentences]
    return None if taught == sentences else "\n".join([*taught, _answer(example)])


def _asked(sentence: str) -> str:
    """The sentence after its question: for the last equation in it, which gives what the step is for."""
    steps = noted(sentence) or written(sentence)
    return f"What is {steps[-1].left}? {sentence}" if steps else sentence


def _answer(example: Example) -> str:
    return completion_text(example, with_rationale=False)
