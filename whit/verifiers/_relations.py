r"""Equations and inequalities in spelled LaTeX: their sides, and what they say of a name."""

import re
from itertools import pairwise

from whit.verifiers._collections import collection, split
from whit.verifiers._expressions import same_value

RELATION = re.compile(r"\\(?:le|ge|ne|in|approx|equiv|to|neq|cong|sim)(?![a-zA-Z])|[=<>]")
NAME = re.compile(  # x, x_1, f(x), (x, y), area
    r"\\?[a-zA-Z]+'?(?:_\{?\w+\}?)?(?:\s*\(\s*[a-z](?:\s*,\s*[a-z])*\s*\))?"
    r"|\([a-z](?:\s*,\s*[a-z])*\)|\\text\{[^{}]*\}|[\w\s]*[a-z]{3,}"
)
ARITHMETIC = re.compile(r"(?:\\(?:frac|cdot|times)|[^a-zA-Z])+")
SET_NAME = re.compile(r"\\(?:mathbb|mathbf|mathcal|text)\s*\{[^{}]*\}|\\(?:emptyset|varnothing)|[A-Z]")
FLIPPED = {"<": ">", ">": "<", "\\le": "\\ge", "\\ge": "\\le", "=": "="}
INTERVALS = {"<": "(-\\infty, {})", "\\le": "(-\\infty, {}]", ">": "({}, \\infty)", "\\ge": "[{}, \\infty)"}


def relation(text: str) -> list[str] | None:
    """['x', '=', '5'] for a text with relations outside brackets; None for one without any.

    'x = 1, x = 2' is a list of values and gives None; 'x = 1, y = 2' is one statement: ['x = 1, y = 2', ',', ''].
    """
    listed = split(text, ",")
    if len(listed) > 1:
        names = {sides[0] for sides in map(relation, listed) if sides}
        return [" ".join(text.split()), ",", ""] if len(names) > 1 else None
    sides, rest = [], text
    while found := next((m for m in RELATION.finditer(rest) if _is_outside(rest, m.start())), None):
        sides += [rest[: found.start()].strip(), found[0]]
        rest = rest[found.end() :]
    return [*sides, rest.strip()] if sides else None


def named(sides: list[str] | None) -> tuple[str, str] | None:
    r"""('x', '5') of 'x = 5', ('x', '(1, 2]') of '1 < x \le 2', ('', '9') of '5 + 4 = 9'; None of anything else.

    A chain of numbers holds, or says nothing: '6 = 5' and 'x = 6 = 5' give None.
    """
    if sides is None:
        return None
    first, signs, last = sides[0], sides[1::2], sides[-1]
    is_name = [NAME.fullmatch(side) is not None for side in sides[::2]]
    if all(sign == "=" for sign in signs):
        numbers = [side for side in sides[::2] if ARITHMETIC.fullmatch(side)]
        if not all(same_value(one, other) for one, other in pairwise(numbers)):
            return None
        return (first, last) if is_name[0] else ("", last) if len(numbers) == len(sides[::2]) else None
    if len(sides) == 3 and is_name[0] and signs[0] == "\\in":
        return (first, last) if collection(last) or SET_NAME.fullmatch(last) else None
    if any(sign not in FLIPPED for sign in signs):
        return None
    if len(sides) == 3 and is_name[0] != is_name[1]:
        name, sign, bound = (first, signs[0], last) if is_name[0] else (last, FLIPPED[signs[0]], first)
        return (name, INTERVALS[sign].format(bound)) if sign in INTERVALS else None
    if len(sides) == 5 and is_name[1] and set(signs) <= {"<", "\\le"}:
        opened, closed = "(" if signs[0] == "<" else "[", ")" if signs[1] == "<" else "]"
        return (sides[2], f"{opened}{first}, {last}{closed}")
    return None


def _is_outside(text: str, place: int) -> bool:
    """Whether no bracket is open at this place."""
    return len(split(text[:place] + "\0", "\0")) == 2
