r"""Whether two written answers are the same mathematical object: structure first, then the values of its expressions."""

import re

from whit.core.answers import NUMBER_WORDS
from whit.verifiers._collections import AND, Collection, collection, is_thousands, split
from whit.verifiers._expressions import MAX_CHARS, constant_ratio, same_value, value
from whit.verifiers._latex import ANGLE_OF, FUNCTIONS, exact, spelled
from whit.verifiers._normalise import normalised
from whit.verifiers._relations import FLIPPED, named, relation

# Dates, times, ratios, other bases, ordinals, numbers in a row, code: equal only when they are written alike.
LITERAL = re.compile(
    r"\d\s*:\s*\d|\d\s+\d+(?![\d/])|\d+/\d+/\d+|\d{3,4}-\d\d?-\d|\d_\{?\d|\d(?:st|nd|rd|th)\b|[`\"#@]|==|\w\(\)|[a-z]{2,}\([\"']|\bprint\b"
)
UNIT = re.compile(
    r"(?P<value>.*?[\d)}iex])\s*(?P<unit>%|\\text\{[^{}]*\}(?:\s*\^\s*\{?\d\}?)?|\^\s*\{?\s*\\circ\s*\}?(?:\s*[CF])?"
    r"|(?<=[\d)}])\s*(?!{names})(?:[a-zA-Z]{2,}[ ./a-zA-Z]*)(?:\^\{?\d\}?)?)".replace(
        "{names}", rf"(?:{FUNCTIONS}|and|or|to)\b"
    ),
    re.DOTALL,
)
# '5 m' is 5 metres where the gold answer is 5 or 5\\text{ m}; '5m', or '5 x', may be a product.
LETTER_UNIT = re.compile(r"(-?[\d.,]*\d|-?\\frac\{\d+\}\{\d+\}) ([mgshLNJWV])")
NUMBER_ONLY = re.compile(r"-?[\d.,]*\d|-?\\frac\{\d+\}\{\d+\}")
NO_UNIT = re.compile(  # what makes of '5 ...' another value, a choice or a denial
    rf"[,()]|dozen|hal(?:f|ves)|third|quarter|fourth|\b(?:{NUMBER_WORDS})(?:s|th|ths)?\b|"
    r"\b(?:or|and|not?|none|never|nor|to|plus|minus|more|less|fewer|than|over|times|mod|base|squared|cubed|factorial|"
    r"remainder|if|is|isn|unless|except|either|maybe|perhaps|wrong|false|incorrect)\b",
    re.IGNORECASE,
)
UNIT_WORD = re.compile(r"(?<![\\a-zA-Z])[a-zA-Z]+")
MAX_UNIT_WORDS = 3  # miles per hour
WORDS = re.compile(
    rf"(?<!\\)(?<!begin\{{)(?<!end\{{)(?<![a-zA-Z])(?!(?:{FUNCTIONS})(?![a-zA-Z]))(?:[a-zA-Z]{{3,}}|(?:no|on)\b)|\\text\{{"
)


def equal(gold: str, answer: str) -> bool:
    """Whether two written answers are the same mathematical object, as `symbolic_equal` says. They may be anything."""
    if max(len(gold), len(answer)) > MAX_CHARS:
        return gold.split() == answer.split()
    return _equal(*(AND.sub(", ", spelled(text)) for text in (gold, answer)))


def _equal(gold: str, answer: str) -> bool:
    if gold == answer:
        return True
    if LITERAL.search(gold) or LITERAL.search(answer):
        return _as_words(gold) == _as_words(answer)
    gold_side, answer_side = relation(gold), relation(answer)
    if gold_side or answer_side:
        return _equal_relations(gold, gold_side, answer, answer_side)
    (gold, gold_unit), (answer, answer_unit) = _unit(gold), _unit(answer)
    if found := LETTER_UNIT.fullmatch(answer) if NUMBER_ONLY.fullmatch(gold) else None:
        answer, answer_unit = found[1], found[2].lower()
    if gold_unit and answer_unit and gold_unit != answer_unit:
        return False
    if WORDS.search(gold) or WORDS.search(answer):
        return _as_words(gold) == _as_words(answer)
    held, other = collection(gold), collection(answer)
    if held or other:
        return held is not None and other is not None and _equal_collections(held, other)
    return same_value(gold, answer)


def _equal_collections(gold: Collection, answer: Collection) -> bool:
    if gold.kind != answer.kind or len(gold.elements) != len(answer.elements):
        return False
    if gold.is_ordered:
        return all(map(_equal, gold.elements, answer.elements))
    left = list(answer.elements)
    for element in gold.elements:
        found = next((other for other in left if _equal(element, other)), None)
        if found is None:
            return False
        left.remove(found)
    return True


def _equal_relations(gold: str, gold_side: list[str] | None, answer: str, answer_side: list[str] | None) -> bool:
    """Names are dropped where only one side has them: 'x = 5' is 5, and 'x > 5' is (5, oo)."""
    of_gold, of_answer = named(gold_side), named(answer_side)
    if gold_side is None or answer_side is None:
        bare = gold if gold_side is None else of_gold and of_gold[1]
        said = answer if answer_side is None else of_answer and of_answer[1]
        return bool(bare and said) and _equal(str(bare), str(said))
    if gold_side[1] == answer_side[1] == ",":
        return gold == answer or _equal_statements(split(gold, ","), split(answer, ","))
    if of_gold and of_answer:
        return of_gold[0] == of_answer[0] and _equal(of_gold[1], of_answer[1])
    return _equal_equations(gold_side, answer_side)


def _equal_statements(gold: list[str], answer: list[str]) -> bool:
    """'p = 1, q = 2' is 'q = 2, p = 1': each name has its value, and no name has two."""
    one, other = (dict(filter(None, map(named, map(relation, statements)))) for statements in (gold, answer))
    if not len(one) == len(gold) == len(answer) == len(other) or one.keys() != other.keys():
        return False
    return all(_equal(said, other[name]) for name, said in one.items())


def _equal_equations(gold: list[str], answer: list[str]) -> bool:
    """Whether the differences of both relations are in a constant ratio, which is negative where the sign is flipped."""
    if len(gold) != 3 or len(answer) != 3 or gold[1] not in FLIPPED or answer[1] not in FLIPPED:
        return gold == answer
    sides = [value(exact(side)) for side in (gold[0], gold[2], answer[0], answer[2])]
    if any(side is None for side in sides):
        return False
    ratio = constant_ratio(*sides)
    if ratio is None:
        return False
    return bool(gold[1] == answer[1] if ratio > 0 or gold[1] == "=" else gold[1] == FLIPPED[answer[1]])


def _unit(text: str) -> tuple[str, str]:
    """'5 cm' as ('5', 'cm'), '50%' as ('50', 'percent'); an empty unit where there is none."""
    found = UNIT.fullmatch(text)
    if (
        not found
        or ("\\circ" in found["unit"] and ANGLE_OF.search(text))
        or NO_UNIT.search(found["unit"])
        or len(UNIT_WORD.findall(found["unit"])) > MAX_UNIT_WORDS
    ):
        return text, ""
    if len(split(found["value"], ",")) > 1 and not is_thousands(found["value"]):
        return text, ""
    unit = re.sub(r"\\text|[{}\s.^]", "", found["unit"]).replace("%", "percent").replace("\\circ", "degree").lower()
    return found["value"].strip(), unit.removesuffix("s") if len(unit) > 2 else unit


def _as_words(text: str) -> str:
    plain = re.sub(r"\\text|[{}\\$]", " ", text)
    plain = plain.casefold() if "," in plain else normalised(plain)  # '(a, b)' is not '[a, b]'
    return re.sub(r"(?<!\d)\s+|\s+(?!\d)", "", plain)
