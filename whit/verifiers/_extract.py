"""Where an answer stands in a completion: after the marker that was asked for, or after 'the answer is'."""

import re
from collections import deque
from collections.abc import Iterator

from whit.core.answers import last_box
from whit.core.types import AnswerFormat, Verdict

PHRASE = re.compile(
    r"\banswer(?:\s(?:to|for|of)\s[^.\n:=?]{1,60}?)?[*_\s]{0,4}"
    r"(?:\b(?:is|was|would be|will be|equals)\b|[:=])[*_:\s]{0,8}",
    re.IGNORECASE,
)
STATED = re.compile(rf"####|\\boxed|<answer>|{PHRASE.pattern}", re.IGNORECASE)
MAX_ANSWER_CHARS = 200  # what is looked at behind 'the answer is'
MAX_STATEMENTS = 200  # the last ones: a text that says it thousands of times says nothing


def marked(text: str, answer_format: AnswerFormat) -> str | None:
    """What stands in the last marker of `answer_format`, stripped; None when there is none or it is empty.

    "plain" has no marker: the whole text is the answer.
    """
    if answer_format == "hash":
        text = _after_hash(text)
    elif answer_format == "boxed":
        text = last_box(text)
    elif answer_format == "tags":
        text = _in_tags(text)
    return text.strip() or None


def spans(text: str, answer_format: AnswerFormat) -> Iterator[str]:
    """Where the lenient rule looks, most explicit first: the asked marker, the other markers, 'the answer is'."""
    formats: tuple[AnswerFormat, ...] = ("hash", "boxed", "tags")
    for known in sorted(formats, key=lambda known: known != answer_format):
        span = marked(text, known)
        if span is not None:
            yield span
    for phrase in reversed(deque(PHRASE.finditer(text), MAX_STATEMENTS)):
        yield text[phrase.end() : phrase.end() + MAX_ANSWER_CHARS]


def before_answer(text: str) -> str:
    """What a completion says before it states its final answer: all of it when it states none, "" when nothing else.

    The sentence that states the answer is left out, with all that follows the last statement.
    """
    lines = text.rstrip().split("\n")
    stated = [number for number, line in enumerate(lines) if STATED.search(line)]
    if stated:
        del lines[stated[-1] + 1 :]
    while lines:
        if mark := STATED.search(lines[-1]):
            before = lines[-1][: mark.start()]
            lines[-1] = before[: 1 + max(before.rfind(end) for end in (". ", "! ", "? "))]
        if lines[-1].strip():
            break
        lines.pop()
    return "\n".join(lines).strip()


def judge(gold: str | None, in_form: str | None, anywhere: str | None, what: str) -> Verdict:
    """The verdict on answers in canonical spelling; None stands for one that could not be read.

    in_form: the answer in the form that the prompt asked for; it is preferred to the one found `anywhere`.
    what: names the kind of answer in the reason, such as "number".
    """
    if gold is None:
        return Verdict(correct=False, status="bad_gold", reason=f"the gold answer is not a {what}")
    answer = anywhere if in_form is None else in_form
    if answer is None:
        return Verdict(correct=False, status="no_answer", reason=f"no {what} found")
    return Verdict(correct=answer == gold, strict=in_form == gold, has_format=in_form is not None, answer=answer)


def _after_hash(text: str) -> str:
    _, marker, rest = text.rpartition("####")
    return rest.partition("\n")[0] if marker else ""


def _in_tags(text: str) -> str:
    before, close, _ = text.rpartition("</answer>")
    return before.rpartition("<answer>")[2] if close and "<answer>" in before else ""
