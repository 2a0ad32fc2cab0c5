r"""An expression of given numbers that comes to a target: Countdown and the game of 24.  Source: arXiv:2305.10601."""

import ast
import re
from collections import Counter
from fractions import Fraction

from whit.core.types import Example, Verdict
from whit.verifiers._extract import marked, spans

MAX_CHARS = 300  # of an expression
EXPRESSION = re.compile(r"(?:[\s()+*/-]|(?<!\d)(?:0|[1-9][0-9]*)(?!\d))+")
VALUE = re.compile(r"(?=.{1,30}\Z)-?[0-9]+(?:\.[0-9]+)?(?:/[0-9]+)?")
SIGNS = str.maketrans({"×": "*", "·": "*", "÷": "/", "−": "-", "–": "-"})


def countdown(completion: str, example: Example) -> Verdict:
    r"""The final answer is an expression that equals `example.metadata["target"]` and uses each given number at most once.

    The numbers are metadata["numbers"]; with metadata["use_all"] each has to be used. Allowed are whole numbers in plain
    decimal digits, + - * / and brackets; the value is exact. '= 24' may follow the expression, once. The text is read by
    `ast` and never run. The gold answer is one that fits; another that fits is as good.
    Strict: the marker that the prompt asked for holds the expression; for "plain" the whole text does.
    Lenient: that; else another marker, or the rest of the line after 'the answer is'.

    metadata: {"numbers": [3, 5, 8, 8], "target": 24}
    strict: 8 * 3 | 5 and one 8 are not needed.\n#### 8 * 3
    strict: 8 * 3 | #### (8 - 5) * 8 = 24
    strict boxed: 8 * 3 | \boxed{8 \times 3}
    accepts: 8 * 3 | The answer is 3 × 8.
    refuses: 8 * 3 | #### 3 * 3 + 3 * 5
    refuses: 8 * 3 | #### 24
    refuses: 8 * 3 | #### 8 + 8
    refuses: 8 * 3 | #### 8 * 3 = 25
    refuses: 8 * 3 | #### 8 * 3 = 1e20000000
    refuses: 8 * 3 | #### 0x8 * 3
    refuses: 8 * 3 | #### 8 * 3 # 5
    refuses: 8 * 3 | #### 3 ** 3 - 3
    refuses: 8 * 3 | #### 8 / (5 - 5)
    refuses: 8 * 3 | #### print(24)
    refuses: 8 * 3 |
    """
    in_form = marked(completion, example.answer_format)
    lines = (span.strip().partition("\n")[0] for span in spans(completion, example.answer_format))
    text = in_form if in_form is not None else next(filter(None, lines), None)
    if text is None:
        return Verdict(correct=False, status="no_answer", reason="no expression found")
    has_form, target = in_form is not None, Fraction(example.metadata["target"])
    try:
        value, used = _evaluated(text, target)
    except (ArithmeticError, RecursionError, MemoryError, SyntaxError, ValueError) as error:
        return Verdict(
            correct=False, has_format=has_form, answer=text, status="no_answer", reason=f"no expression: {error}"
        )
    given = Counter(example.metadata["numbers"])
    fits = used == given if example.metadata.get("use_all") else used <= given
    reason = "" if fits else "a number is not given, used too often, or left out"
    correct = fits and value == target
    return Verdict(correct=correct, strict=correct and has_form, has_format=has_form, answer=text, reason=reason)


def _evaluated(text: str, target: Fraction) -> tuple[Fraction, Counter[int]]:
    """The value of an expression and the numbers in it. Raises ValueError, or what `ast` and division raise."""
    text = text.translate(SIGNS).replace("\\times", "*").replace("\\cdot", "*").replace("\\div", "/").strip(" .$")
    expression, equals, said = text.partition("=")
    if len(text) > MAX_CHARS or not EXPRESSION.fullmatch(expression):
        raise ValueError("only whole numbers, + - * / and brackets are allowed, and not many")
    if equals and not (VALUE.fullmatch(said.strip()) and Fraction(said.strip()) == target):
        raise ValueError("it says that it is something else")
    used: Counter[int] = Counter()

    def value(node: ast.expr) -> Fraction:
        match node:
            case ast.Constant(value=int(number)) if not isinstance(number, bool):
                used[number] += 1
                return Fraction(number)
            case ast.BinOp(left=left, op=ast.Add(), right=right):
                return value(left) + value(right)
            case ast.BinOp(left=left, op=ast.Sub(), right=right):
                return value(left) - value(right)
            case ast.BinOp(left=left, op=ast.Mult(), right=right):
                return value(left) * value(right)
            case ast.BinOp(left=left, op=ast.Div(), right=right):
                return value(left) / value(right)
        raise ValueError("only whole numbers, + - * / and brackets are allowed")

    return value(ast.parse(expression.strip(), mode="eval").body), used
