r"""Whether an expression is small enough to be worked out: a bound on its digits and its terms, before any algebra.

A model may write 9^{9^{9}}, 999999! or (x+y)^{999}. They are read at once, and would take minutes to work out.
"""

import re
from math import ceil, comb, exp, inf, log10
from typing import Any

MAX_DIGITS = 10_000  # of any number on the way; 10^{999} is one that people write
MAX_TERMS = 500  # of what a power of a sum expands to: a second of algebra
LETTER = log10(4)  # no letter is given a larger value
NATURAL = log10(exp(1))
_TERM = r"(?:\d{0,2}[a-z]|\d{1,3})"
_ARGUMENT = rf"\s*(?:\{{\s*{_TERM}(?:\s*[+-]\s*{_TERM}){{0,2}}\s*\}}|[a-z\d])"
# These are worked out while they are read. Short arguments are no work.
_TERM = r"(?:\d{0,2}[a-z]|\d{1,3})"
_TWO_TERMS = rf"(?:\s*\{{\s*{_TERM}(?:\s*[+-]\s*{_TERM}){{0,2}}\s*\}}){{2}}"
_INTEGERS = r"\s*\(\s*\d{1,20}(?:\s*,\s*\d{1,20}){0,9}\s*\)"
EAGER = re.compile(rf"\\(?:[dt]?binom(?!{_TWO_TERMS})|choose|Gamma(?!\s*\(\s*{_TERM}\s*\))|(?:gcd|lcm)(?!{_INTEGERS}))")
# Algebra has no bound for these.
OPEN_ENDED = ("Sum", "Product", "Integral", "Limit")


def is_small(expression: Any) -> bool:
    """Whether a sympy expression that was not worked out yet can be, in about a second."""
    try:
        return digits(expression) <= MAX_DIGITS and terms(expression) <= MAX_TERMS
    except (AttributeError, OverflowError, TypeError, ValueError):  # no numbers at all
        return False


def digits(expression: Any) -> float:
    """An upper bound of the decimal logarithm of the value, and of all that its parts come to; infinite for 9^{9^{9}}."""
    kind = type(expression).__name__
    if kind in OPEN_ENDED:
        return inf
    if expression.is_Rational:
        return log10(abs(expression.p) + expression.q)
    parts = [digits(part) for part in expression.args]
    if not parts:
        return LETTER
    if expression.is_Add:
        return max(parts) + log10(len(parts))
    if expression.is_Mul:
        return sum(parts)
    if expression.is_Pow:
        return max(parts[1], max(parts[0], LETTER) * _size(expression.exp, parts[1]))
    if kind in ("exp", "sinh", "cosh", "tanh", "coth", "sech", "csch"):
        return max(parts[0], NATURAL * _size(expression.args[0], parts[0]))
    if kind in ("factorial", "factorial2", "subfactorial", "gamma", "binomial", "RisingFactorial", "FallingFactorial"):
        return max(map(_size, expression.args, parts)) * max(1.0, *parts)
    return max(parts)


def terms(expression: Any) -> float:
    """An upper bound of the number of terms of the expression when it is expanded."""
    if not expression.args:
        return 1
    if expression.is_Pow and expression.exp.is_number:
        base, power = terms(expression.base), ceil(_size(expression.exp, digits(expression.exp)))
        return comb(power + int(base) - 1, power) if 1 < base <= MAX_TERMS else base
    parts = [terms(part) for part in expression.args]
    if expression.is_Add:
        return sum(parts)
    if expression.is_Mul:
        product = 1.0
        for part in parts:
            product *= part
        return product
    return max(parts)


def _size(expression: Any, bound: float) -> float:
    """How large the value may be, given the bound of its digits."""
    if bound > 2 * log10(MAX_DIGITS):
        return inf
    return abs(float(expression)) if expression.is_number and expression.is_real else 10.0**bound
