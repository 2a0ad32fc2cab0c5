r"""The final answer equals the gold expression, by algebra: competition mathematics.

The answer is read by math-verify (the extra `math`); `_expressions.py` says what is checked of what it accepts.
"""

import re
from collections.abc import Iterator

from whit.core.types import AnswerFormat, Example, Verdict
from whit.verifiers._equality import equal
from whit.verifiers._extract import marked, spans

MAX_SECONDS = 10.0  # of algebra, in a worker process; as SimpleRL-Zoo's checker, arXiv:2503.18892

MATHS = re.compile(r"\$\$?([^$]{1,400}?)\$\$?|\\\((.{1,400}?)\\\)|\\\[(.{1,400}?)\\\]", re.DOTALL)
LAST_NUMBER = re.compile(r"(?<![\w.])-?\d[\d,]*(?:\.\d+)?(?![\w])(?:/\d+)?")
CLAUSE_END = re.compile(r"\.(?=\s|$)|\n|[;?!](?=\s)|,\s(?=[a-z]{2})|\s(?:because|since|so|which)\s")


def symbolic_equal(completion: str, example: Example) -> Verdict:
    r"""The final answer has the value of the gold answer: a number, expression, equation, set, tuple, interval or matrix.

    Strict: the marker that the prompt asked for holds the answer; for "plain" the whole text does.
    Lenient: that; else another marker, what follows 'the answer is', the last formula, or the last number.
    Exact: 0.333 is not 1/3. '50%' is 50, not 0.5. A unit may be left out, but not be another one. 'x = 5' is 5. Order
    counts in tuples and intervals, not in sets and lists. An answer that is not worked out, such as 2 + 3, equals 5: that
    is for the prompt to refuse. Words, dates, times, ratios and code are equal when they are written alike.
    Raises UsageError when math-verify is not installed.

    strict boxed: \frac{1}{2} | so \boxed{0.5}
    strict boxed: 2\sqrt{3} | \boxed{\sqrt{12}}
    strict boxed: (x+1)^2 | \boxed{x^2 + 2x + 1}
    strict boxed: 5 | \boxed{x = 5}
    strict boxed: \{1, 2\} | \boxed{2, 1}
    strict boxed: (-\infty, 3] | \boxed{x \le 3}
    strict: 18 | #### $18.00
    strict tags: 1.5 | <answer>1\frac{1}{2}</answer>
    strict plain: 7 | 7
    accepts boxed: \frac{\pi}{4} | The answer is $\pi/4$.
    accepts boxed: 7 | Then $3 + 4 = 7$ of them.
    accepts: 18 | She makes 9 * 2 = 18
    refuses boxed: \frac{1}{3} | \boxed{0.333}
    refuses boxed: (1, 2) | \boxed{(2, 1)}
    refuses boxed: (1, 2) | \boxed{[1, 2]}
    refuses boxed: \text{east} | \boxed{\text{seat}}
    refuses boxed: 0.5 | \boxed{50\%}
    refuses boxed: 5\text{ cm} | \boxed{5\text{ m}}
    refuses boxed: 5 | \boxed{5 \text{ no}}
    refuses boxed: 5 | \boxed{5\text{ units, or six}}
    refuses boxed: 5 | \boxed{x + 1 = 5}
    refuses boxed: \frac{7}{3} | \boxed{\frac{7}{
    refuses: 18 |
    """
    if not example.gold.strip():
        return Verdict(correct=False, status="bad_gold", reason="the gold answer is empty")
    in_form = marked(completion, example.answer_format)
    answer = next((a for a in _candidates(completion, example.answer_format, in_form) if a.strip("$ ")), None)
    if answer is None:
        return Verdict(correct=False, status="no_answer", reason="no expression found")
    correct, has_form = equal(example.gold, answer), in_form is not None and answer == in_form
    return Verdict(correct=correct, strict=correct and has_form, has_format=has_form, answer=answer)


def _candidates(text: str, answer_format: AnswerFormat, in_form: str | None) -> Iterator[str]:
    if in_form is not None:
        yield in_form
    for span in spans(text, answer_format):
        formula = MATHS.match(span.lstrip(" *_:"))
        yield formula[0] if formula else CLAUSE_END.split(span.strip(" *_"), maxsplit=1)[0].strip(" *_")
    last = list(MATHS.finditer(text))[-1:] or list(LAST_NUMBER.finditer(text))[-1:]
    yield from (found[0] for found in last)
