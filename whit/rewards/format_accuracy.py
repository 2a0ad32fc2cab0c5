"""Format plus accuracy, each +1 or -1: the composite reward of the reference study.  Source: arXiv:2506.13404 eq. 1-2.

The weights of the sum are not published; 1 and 1 are inferred, which gives -2, 0 or +2.
"""

import re

from whit.core.types import Verdict

# Atomic groups: the first tag that fits is as good as any later one, and a looping completion is read once.
THINK_THEN_ANSWER = re.compile(r"(?>.*?<think>)(?>.*?</think>\s*<answer>).*?</answer>", re.DOTALL)


def format_accuracy(verdict: Verdict, text: str, *, tags: bool = False) -> float:
    """+1 or -1 for being right, plus +1 or -1 for the form.

    Whether the verifier accepts is all that counts of it: a reward function's own value is not used here.
    tags: the form is <think>...</think> then <answer>...</answer>, as published; False takes the form that the prompt
        asked for.
    """
    has_form = THINK_THEN_ANSWER.match(text) is not None if tags else verdict.has_format
    return (1.0 if verdict.correct else -1.0) + (1.0 if has_form else -1.0)
