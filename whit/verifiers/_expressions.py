"""Whether two expressions without commas and relations have the same value: math-verify, and a check of what it accepts.

math-verify takes 0.333333 for 1/3, 'east' for 'seat', A for a and 10^-20 for 0. What it accepts is accepted here only if no
letter lost its case, and both sides have the same value to 40 digits wherever their letters are given values.
"""

import logging
import re
from collections.abc import Sequence
from fractions import Fraction
from functools import lru_cache
from typing import Any

from whit.core.errors import UsageError
from whit.verifiers._bounds import EAGER, is_small
from whit.verifiers._latex import exact

COMMANDS = re.compile(r"\\(?!theta|alpha|beta|gamma|lambda|mu|phi|omega|sigma|delta|rho)[a-zA-Z]+|\\text\{[^{}]*\}")
LETTERS = re.compile(r"\\[a-zA-Z]+|[a-zA-Z]'*")
NUMERAL = re.compile(r"-?(?:\d{1,3}(?:,\d{3})+|\d{1,300})(?:\.\d{1,300})?", re.ASCII)  # no algebra is needed for these
MAX_CHARS = 400  # of an expression that is parsed; longer ones are compared as text
UNSAID = re.compile(
    r"\\[cl]?dots|\.\.|…|(?<![a-zA-Z}'\s])\s*(?:'|\^\s*\{?\s*\\prime)"
)  # math-verify drops the dots of 0.3\\ldots, and 5'
LONG_NUMBER = re.compile(r"\d{61,}")
DIGITS = 40
POINTS = ("0.37", "-1.618", "2.236", "-0.577", "3.303", "1.273", "-2.502", "0.915")  # values for letters, in order


def same_value(gold: str, answer: str) -> bool:
    """Whether two spelled expressions are equal. False for one that cannot be parsed.

    Raises UsageError when math-verify is not installed.
    """
    if NUMERAL.fullmatch(gold) and NUMERAL.fullmatch(answer):
        return Fraction(gold.replace(",", "")) == Fraction(answer.replace(",", ""))
    gold, answer = exact(gold), exact(answer)
    if gold == answer:
        return True
    if _is_case_lost(_letters(gold), _letters(answer)):
        return False
    one, other = value(gold), value(answer)
    return one is not None and other is not None and _verified(one, other) and agree(one, other)


@lru_cache(maxsize=1024)
def value(latex: str) -> Any:
    """What math-verify reads in an exact expression: a sympy expression, not worked out yet.

    None where it reads nothing, and for what is too large to be worked out, such as 9^{9^{9}}.
    """
    if len(latex) > MAX_CHARS or UNSAID.search(latex) or LONG_NUMBER.search(latex) or EAGER.search(latex):
        return None
    math_verify = _math_verify()
    from latex2sympy2_extended import NormalizationConfig  # installed with math-verify

    as_it_is = NormalizationConfig(  # else the m of 5m is a unit, and malformed LaTeX is mended by guess
        basic_latex=True, units=False, malformed_operators=False, nits=False, boxed="none", equations=False
    )
    config = math_verify.LatexExtractionConfig(normalization_config=as_it_is)
    found = math_verify.parse(f"${latex}$", [config], fallback_mode="no_fallback", parsing_timeout=None)
    return found[0] if len(found) == 1 and not isinstance(found[0], str) and is_small(found[0]) else None


def constant_ratio(left: Any, right: Any, other_left: Any, other_right: Any) -> Any:
    """The number other than 0 by which `other_left - other_right` is multiplied to give `left - right`, or None."""
    try:
        one, other = left - right, other_left - other_right
        letters = sorted(one.free_symbols | other.free_symbols, key=str)
        for start in range(len(POINTS)):
            a, b = (side.subs(_point(letters, start)).doit() for side in (one, other))
            if a.is_finite and b.is_finite and a.is_zero is False and b.is_zero is False:
                ratio = a / b
                return ratio if ratio.is_real and agree(one, ratio * other) else None
    except (ArithmeticError, AttributeError, TypeError, ValueError):  # these are no numbers
        return None
    return None


def agree(one: Any, other: Any) -> bool:
    """Whether two sympy expressions have the same value at points that no simplification knows of."""
    import sympy

    try:
        if (one - other).doit().is_zero is False:
            return False
        letters = sorted(one.free_symbols | other.free_symbols, key=str)
        defined = 0
        for start in range(len(POINTS) if letters else 1):
            a, b = (sympy.N(side.subs(_point(letters, start)).doit(), DIGITS + 10) for side in (one, other))
            if not (a.is_number and b.is_number) or a.has(sympy.nan, sympy.zoo) or b.has(sympy.nan, sympy.zoo):
                continue
            defined += 1
            if a != b and not abs(a - b) <= abs(a) * sympy.Float(10) ** -DIGITS:
                return False
        return defined > 0
    except (
        ArithmeticError,
        AttributeError,
        TypeError,
        ValueError,
    ):  # it is no number: a set, a matrix, a logical value
        return bool(one == other)


def _point(letters: Sequence[Any], start: int) -> dict[Any, Any]:
    import sympy

    return {letter: sympy.Rational(POINTS[(start + i) % len(POINTS)]) for i, letter in enumerate(letters)}


def _verified(gold: Any, answer: Any) -> bool:
    return bool(_math_verify().verify(gold, answer, timeout_seconds=None))


def _is_case_lost(one: set[str], other: set[str]) -> bool:
    """Whether letters that differ become one where neither case nor primes count."""
    all_letters = one | other
    return one != other and len({letter.rstrip("'").lower() for letter in all_letters}) < len(all_letters)


def _letters(latex: str) -> set[str]:
    return set(LETTERS.findall(COMMANDS.sub(" ", latex)))


def _math_verify() -> Any:
    try:
        import math_verify
    except ImportError:
        raise UsageError("the verifier 'symbolic_equal' needs math-verify: pip install 'whit[math]'.") from None
    for name in ("math_verify", "latex2sympy2_extended"):
        logging.getLogger(name).setLevel(logging.ERROR)  # its own time limits are off: our worker has one
    return math_verify
