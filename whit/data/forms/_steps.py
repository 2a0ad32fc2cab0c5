"""Equations in worked solutions: calculator notes, and what the text itself writes as '29 sacks * 7 pears = 203 pears'."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise

from whit.core.answers import NOTE

TOKEN = re.compile(
    r"(?P<number>(?:\d{1,3}(?:,\d{3}(?!\d))+|\d+)(?:\.\d+)?|\.\d+)(?P<percent> ?%)?"
    r"|(?P<sign>[-+*/()=])|(?P<word>[^\W\d_]+(?:[-'’][^\W\d_]+)*)|(?P<other>\S)"
)
SPELLINGS = str.maketrans({"×": "*", "·": "*", "⋅": "*", "÷": "/", "−": "-", "–": "-", **dict.fromkeys("$€£¥₹", " ")})
LATEX = {r"\times": "*", r"\cdot": "*", r"\div": "/", r"\$": " "}
CONTINUED = re.compile(r"\s*\n\s*(?==)")  # a line that goes on with '= 8'
JOINED = re.compile(r"(?<=\d)-(?=[^\W\d_])|/(?=[^\W\d_])")  # of '10-year' and '5 snakes/jaguar': no signs
EQUALS = ("is", "equals")  # '7 * 36 is 252'
MAX_NUMBER_CHARS, MAX_TOKENS = 40, 60  # of what one equation may have; longer ones are noise


@dataclass(frozen=True, slots=True)
class Equation:
    """left: an expression with at least one operation, such as '100 - 50 - 30'. right: the number that it is."""

    left: str
    right: str

    def __str__(self) -> str:
        return f"{self.left} = {self.right}"

    @property
    def holds(self) -> bool:
        """Whether left is right, rounded to the digits that right shows."""
        value = _value(self.left.replace("(", "( ").replace(")", " )").split())
        return value is not None and is_near(value, self.right)


def noted(text: str) -> list[Equation]:
    """The equations of the calculator notes in `text`, which may be notes alone."""
    found = []
    for note in NOTE.findall(text):
        left, _, right = note.rpartition("=")
        found += list(_equations(f"{left} = {right}"))
    return found


def written(text: str) -> list[Equation]:
    """The equations that the text writes and that hold, in order; words between the numbers are passed over.

    What does not hold was misread, or is a mistake that nobody should learn.
    """
    text = NOTE.sub("", CONTINUED.sub(" ", text))
    return [equation for line in text.split("\n") for equation in _equations(line) if equation.holds]


def is_near(value: Fraction, shown: str) -> bool:
    """Whether `shown` is `value` rounded to the digits that it has; '25%' may stand for 25 as well as for 1/4."""
    bare = shown.removesuffix("%")
    half = Fraction(1, 2 * 10 ** len(bare.partition(".")[2]))
    return any(abs(scale * value - _number(bare)) <= half for scale in ((1,) if bare == shown else (1, 100)))


def _equations(line: str) -> Iterator[Equation]:
    for run in _runs(line):
        for before, after in pairwise(_split(run, "=")):
            left, right = _last_expression(before), _first_number(after)
            if left and right:
                yield Equation(left, right)


def _runs(line: str) -> Iterator[list[str]]:
    """The numbers and signs of a line, without its words, cut where anything else stands."""
    line = JOINED.sub(" ", line.translate(SPELLINGS))
    for spelling, sign in LATEX.items():
        line = line.replace(spelling, sign)
    run: list[str] = []
    for token in TOKEN.finditer(line):
        if token["number"]:
            run.append(token["number"].replace(",", "") + ("%" if token["percent"] else ""))
        elif token["sign"] or token[0] in ("x", "X"):  # '0.2 x 50'
            run.append(token["sign"] or "*")
        elif token[0] in EQUALS:
            run.append("=")
        elif token["other"]:
            yield run
            run = []
    yield run


def _split(run: Sequence[str], at: str) -> list[list[str]]:
    parts: list[list[str]] = [[]]
    for token in run:
        if token == at:
            parts.append([])
        else:
            parts[-1].append(token)
    return parts


def _last_expression(tokens: Sequence[str]) -> str:
    """The longest end of the tokens that is an expression of two numbers or more; "" when there is none."""
    tokens = tokens[-MAX_TOKENS:]
    for start in range(len(tokens)):
        end = tokens[start:]
        if sum(_is_number(token) for token in end) > 1 and _value(end) is not None:
            return _shown(end)
    return ""


def _first_number(tokens: Sequence[str]) -> str:
    sign = "-" if tokens[:1] == ["-"] else ""
    first = next(iter(tokens[len(sign) : len(sign) + 1]), "")
    return sign + first if _is_number(first) else ""


def _is_number(token: str) -> bool:
    return token[-1:].isdigit() or token.endswith("%")


def _shown(tokens: Sequence[str]) -> str:
    return " ".join(tokens).replace("( ", "(").replace(" )", ")")


def _number(token: str) -> Fraction:
    if len(token) > MAX_NUMBER_CHARS:
        raise ValueError("a number of that length is noise")
    return Fraction(token[:-1]) / 100 if token.endswith("%") else Fraction(token)


def _value(tokens: Sequence[str]) -> Fraction | None:
    """What the tokens come to; None when they are no expression, or divide by 0."""
    rest = list(reversed(tokens))

    def factor() -> Fraction:
        token = rest.pop()
        if token == "-":
            return -factor()
        if token != "(":
            return _number(token)
        inner = total()
        if rest.pop() != ")":
            raise ValueError("a bracket is not closed")
        return inner

    def product() -> Fraction:
        value = factor()
        while rest and rest[-1] in "*/":
            value = value * factor() if rest.pop() == "*" else value / factor()
        return value

    def total() -> Fraction:
        value = product()
        while rest and rest[-1] in "+-":
            value = value + product() if rest.pop() == "+" else value - product()
        return value

    try:
        value = total()
    except (ValueError, IndexError, ZeroDivisionError):
        return None
    return None if rest else value
