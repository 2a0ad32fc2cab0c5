r"""The completion has the form that was asked for, whatever it says: a reward for form alone."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from whit.core.types import AnswerFormat, Example, Verdict
from whit.verifiers._extract import marked

JUDGES_GOLD = False  # the gold answer is what the form is to hold, and need not have it


def format(completion: str, example: Example) -> Verdict:
    r"""The completion is made of the tags in `example.metadata["tags"]`, each once, in order, and nothing beside them.

    Without tags, the marker that the prompt asked for must hold something. What the answer is does not count: this is the
    verifier of instructions on form. `whit.verifiers.regex` is the one for answers that have to fit a pattern.
    Strict: the same. A tag must hold more than white space, and no other of the tags.

    A row of a file: {"prompt": "What is 3 + 4?", "answer": "7", "tags": ["think", "answer"]}; in a CSV, tags are
    "think,answer". The prompt then asks for these tags. The answer is not compared, and need not be of the form; for
    imitation, which would teach it as it stands, write the whole of <think>..</think><answer>7</answer>.

    metadata: {"tags": ["think", "answer"]}
    strict: 7 | <think>3 + 4</think><answer>7</answer>
    strict: 7 | <think>3 + 4</think>\n<answer>8</answer>\n
    strict: 7 | <think>1 < 2</think> <answer>8</answer>
    refuses: 7 | <answer>7</answer>
    refuses: 7 | <answer>7</answer><think>3 + 4</think>
    refuses: 7 | <think>3 + 4</think><answer>7</answer> I am sure.
    refuses: 7 | <think>3<think>3 + 4</think><answer>7</answer>
    refuses: 7 | <think> </think><answer>7</answer>
    refuses: 7 | <think>3 + 4</think><answer>7
    refuses: 7 | #### 7
    refuses: 7 |
    """
    tags = _tags(example.metadata)
    answer = _last(completion.strip(), tags) if tags else marked(completion, example.answer_format)
    if answer is None:
        return Verdict(
            correct=False, reason=f"not of the form {''.join(f'<{t}>..</{t}>' for t in tags) or 'asked for'}"
        )
    return Verdict(correct=True, strict=True, has_format=True, answer=answer)


def ask_for(metadata: Mapping[str, Any]) -> tuple[AnswerFormat, str] | None:
    """How a row of a file asks for its tags; None without tags, where the form is that of the answer."""
    form = "".join(f"<{tag}>...</{tag}>" for tag in _tags(metadata))
    return ("plain", f"Answer in the form {form} and write nothing beside it.") if form else None


def _tags(metadata: Mapping[str, Any]) -> Sequence[str]:
    tags = metadata.get("tags") or ()
    return [tag.strip() for tag in tags.split(",")] if isinstance(tags, str) else tags


def _last(text: str, tags: Sequence[str]) -> str | None:
    """What the last tag holds, where the text is these tags in order and nothing else."""
    inside = None
    for tag in tags:
        head, end, rest = text.partition(f"</{tag}>")
        inside = head.removeprefix(f"<{tag}>").strip()
        if not end or not head.startswith(f"<{tag}>") or not inside or re.search(_any_of(tags), inside):
            return None
        text = rest.lstrip()
    return inside if not text else None


def _any_of(tags: Sequence[str]) -> str:
    return "|".join(rf"</?{re.escape(tag)}>" for tag in tags)
