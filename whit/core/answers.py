r"""Final answers as text: how a prompt asks for one, how a gold answer is written, how a number is read.

Prompts, verifiers and data sources share these, so that what is asked for, shown and accepted cannot drift apart.
"""

import re
from decimal import Decimal
from fractions import Fraction

from whit.core.types import AnswerFormat, Example

INSTRUCTIONS: dict[AnswerFormat, str] = {
    "hash": "Reason step by step. End with a line that holds '#### ' and the final answer, nothing else.",
    "boxed": "Please reason step by step, and put your final answer within \\boxed{}.",  # as Qwen2.5 was taught
    "tags": "Reason step by step. Put the final answer between <answer> and </answer>.",
    "plain": "Write the final answer only.",
}
"""What a prompt adds to ask for each answer format."""
ASK_FOR_PROGRAM = "Answer with the whole Python code in one block that starts with ```python and ends with ```."

MAGNITUDES = {"hundred": 100, "thousand": 10**3, "million": 10**6, "billion": 10**9, "trillion": 10**12}
NUMBER_WORDS = (
    "zero|one|two|three|four|five|six|seven|eight|nine|ten|eleven|twelve|thirteen|fourteen|fifteen|sixteen|seventeen|"
    "eighteen|nineteen|twenty|thirty|forty|fifty|sixty|seventy|eighty|ninety|hundred|thousand|million|billion|trillion"
)
# A number does not start inside a word or another number ('x2', the 3 of '10-3' is not -3), nor at an em dash: '—3' may
# be -3. Exponents have three digits at most, so that no text costs time.
NUMBER = re.compile(
    r"(?:(?<![A-Za-z0-9)—―])(?P<minus>-)|(?<![A-Za-z0-9—―]))"
    r"(?:(?P<whole>\d+) (?P<part>\d+/\d+)(?!\d)|(?P<top>{one})(?:\s?/\s?(?P<bottom>{one}))?)"
    r"(?:\s{0,2}[x×*·]\s{0,2}10\s?\^\s?[{(]?\s?(?P<tens>[+-]?\d{1,3})(?!\d)\s?[})]?)?"
    r"(?:\s?(?P<magnitude>(?i:{magnitudes}))s?(?![A-Za-z]))?".replace(
        "{one}", r"(?:(?:\d{1,3}(?:,\d{3}(?!\d))+|\d+)(?:\.\d+)?|\.\d+)(?:[eE][+-]?\d{1,3}(?!\d))?"
    ).replace("{magnitudes}", "|".join(MAGNITUDES)),
    re.ASCII,
)
# What may stand before a leading number: signs of currency, emphasis and LaTeX, and the left side of 'x = 5 + 4 = 9'.
LEAD = re.compile(r"(?:[^\n=A-WYZa-wyz]*=)*+(?:[^\w.±∓√—―-]|[—―](?!\d)|_)*+")
# What makes of a number the start of something else: '18 - 3', '3 eggs + 2 eggs', '2x + 3', '5^2', '18!', '2√3', '101_2',
# '3e9999', '18k', '7 or 8', '18 and a half'. A sign counts where a number follows: '18 - she eats 3' has a dash.
GOES_ON = re.compile(
    r"(?:\(\d|:\d|[*_]{0,2}[ \t]*+(?:"
    r"!(?!\s+[A-Za-z])|\^(?!\s?\{?\s?\\circ)|[⁰¹²³⁴-⁹⁺⁻ⁿ√π∞]|\\(?:sqrt|pi|pm|mp|frac|binom|ln|log|sin|cos|tan)|_\{?\d"
    r"|(?!(?<=\s)m[23]\b)(?:[%°]|[a-zA-Z](?![a-zA-Z]))?[ \t]*+(?:(?:[-+*/×·÷<>≤≥±∓,;]|\*\*)[ \t]*+[-+]?[$(\[]*)?\d"
    r"|[a-zA-Z][a-zA-Z ]{0,30}(?:[+*/×÷=]| - ?)[ ]?[$(]*\d"
    r"|(?:\\text\{\s?)?(?:or|and|to|plus|minus|times|over|divided by|point)[\s}]{1,3}(?:[-$]?\d|(?:{words})\b)"
    r"|(?:and (?:an?|one|two|three)[ -])?(?:hal(?:f|ves)|thirds?|fifths?|eighths?|ninths?|(?:{words})ths?)\b"
    r"|and (?:a|one|three)[ -]quarters?\b|(?:squared|cubed|factorial|(?:{magnitudes})s?|[kKMB]|bn|mn)\b))".replace(
        "{words}", NUMBER_WORDS
    ).replace("{magnitudes}", "|".join(MAGNITUDES))
)
UNREADABLE = re.compile(r"(?:[±∓√—―-]|(?:sqrt|pm|mp|binom)\b)[^A-Za-z0-9\n]*+\d")
LONE_MINUS = re.compile(r"(\A[\s*_\[\\(]{0,9}|[=(:][ ]{0,3})-\s{1,3}(?=\.?\d)")
MINUS_WORD = re.compile(r"(?<![\d)%])(?<![\d)%] )\b(?:minus|negative)\s{1,3}(?=\.?\d)", re.IGNORECASE)
SPACED = re.compile(r"(?<![\w.,])\d{1,3}(?: \d{3})+(?![\w/,])", re.ASCII)
SUPERSCRIPTS = str.maketrans("⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻", "0123456789+-")
UNIT = re.compile(r"[^\n.?!;:]{0,40}(?:\s*\\\])?[.\s]*")  # '\\]' closes a LaTeX display
BRACES = re.compile(r"\\boxed\s{0,4}\{|\\.|[{}]", re.DOTALL)
NOTE = re.compile(r"<<([^<>]*)>>")  # GSM8K's '48/2 = <<48/2=24>>24': calls of a calculator that no model here has
MAX_NUMBER_CHARS = 400  # Python refuses to convert 4,300 digits and more; a looping model writes them
CHARACTERS = str.maketrans(
    {"−": "-", "–": "-", "‑": "-", "‒": "-", "﹣": "-", "－": "-", "⁄": "/"}
    | {"\u00a0": " ", "\u202f": "", "\u2009": ""}  # the last two: 1 234
)


def instruction_of(example: Example) -> str:
    """What the prompt adds to the problem: the example's own instruction, or the sentence of its answer format."""
    return INSTRUCTIONS[example.answer_format] if example.instruction is None else example.instruction


def instruction_beside_form(example: Example) -> str:
    """The instruction without the sentence that asks for a form of answer: '' mostly, or the labels to choose from."""
    return instruction_of(example).replace(INSTRUCTIONS[example.answer_format], "").strip()


def render_answer(gold: str, answer_format: AnswerFormat) -> str:
    r"""The gold answer in the form the prompt asks for: '#### 7', '\boxed{7}', '<answer>7</answer>' or '7'."""
    if answer_format == "hash":
        return f"#### {' '.join(gold.split())}"  # the marker reaches to the end of its line
    if answer_format == "boxed":
        return f"\\boxed{{{gold}}}"
    if answer_format == "tags":
        return f"<answer>{gold}</answer>"
    return gold


def completion_text(example: Example, *, with_rationale: bool = True) -> str:
    """The completion that an example teaches: its rationale, if any, then the answer in its format."""
    answer = render_answer(example.gold, example.answer_format)
    if not with_rationale or not example.rationale:
        return answer
    return f"{example.rationale}\n{answer}"


def parse_number(text: str) -> Fraction | None:
    """The one number that the whole of `text` states, exactly; None when it states none or several.

    Reads '$1,080', '18.00', '- 3', 'minus 3', '1/2', '1 1/2', LaTeX fractions, '5 + 4 = 9', '3e5', '3 × 10^5',
    '18 thousand', and '9 apples': a unit may follow, and a dozen is one.
    A percent sign is a unit: '50%' is 50, because word problems that ask for a percentage have 50 as their answer.
    What is left to work out, such as '18 - 3', '5^2' or '18!', is no number, nor is '—3', where the dash may be a minus.
    """
    text = _of_one_number(text).strip()
    found = _leading(text)
    if found is None or not UNIT.fullmatch(text, found.end()) or NUMBER.search(text, found.end()):
        return None
    return _value(found)


def is_bare_number(text: str) -> bool:
    """Whether `text` is a number and nothing else that `parse_number` leaves out, such as the unit of '9 apples'.

    Signs of currency, percent and emphasis, and a full stop, may stand beside it.
    """
    return NUMBER.fullmatch(_of_one_number(text).lstrip("*_ \n").rstrip("%\\.*_ \n")) is not None


def leading_number(text: str) -> Fraction | None:
    """The number with which `text` starts, whatever words follow it; None for '18 - 3', as `parse_number` says."""
    found = _leading(_of_one_number(text))
    return _value(found) if found else None


def is_unfinished(text: str) -> bool:
    """Whether `text` starts with something to work out or to choose from, such as '18 - 3', '5^2', '±3' or '7 or 8'."""
    text = _of_one_number(text)
    start = _lead_end(text)
    found = NUMBER.match(text, start)
    return bool(GOES_ON.match(text, found.end()) if found else UNREADABLE.match(text, start))


def last_number(text: str) -> Fraction | None:
    """The last number that stands anywhere in `text`."""
    values = map(_value, reversed(list(NUMBER.finditer(_plain(text)))))
    return next((value for value in values if value is not None), None)


def last_box(text: str) -> str:
    r"""What stands in the last \boxed{} that is closed, braces inside it balanced; "" when there is none."""
    # One pass with a stack: a search for the closing brace of every box would be quadratic in unclosed boxes.
    open_braces: list[int | None] = []  # where the content of a box starts; None for any other brace
    start, end = 0, 0
    for brace in BRACES.finditer(text):
        if brace[0].startswith("\\boxed"):
            open_braces.append(brace.end())
        elif brace[0] == "{":
            open_braces.append(None)
        elif brace[0] == "}" and open_braces:
            opened = open_braces.pop()
            if opened is not None and opened > start:
                start, end = opened, brace.start()
    return text[start:end]


def show_number(value: Fraction) -> str:
    """'18', '0.5' or '1/3': one spelling per value, so that equal answers are equal strings."""
    if value.denominator == 1:
        return str(value.numerator)
    decimal = Decimal(value.numerator) / Decimal(value.denominator)
    return format(decimal.normalize(), "f") if Fraction(decimal) == value else str(value)


def _plain(text: str) -> str:
    """Typographic, LaTeX and currency forms as the plain characters that NUMBER knows."""
    text = text.translate(CHARACTERS).replace("{,}", ",").replace("\\!", "").replace("\\,", "")
    text = re.sub(r"(?<=\d)\\[dt]?frac", r" \\frac", text)  # 1\frac{1}{2} is one and a half
    text = re.sub(r"\\[dt]?frac(?:(\d)(\d)|\{([^{}]{0,99})\}\{([^{}]{0,99})\})", r"\1\3/\2\4", text)
    text = re.sub(r"\\(?:times|cdot)(?![a-zA-Z])", "×", text).replace("\\div", "÷")
    text = re.sub(r"(?<=10)[⁺⁻]?[⁰¹²³⁴-⁹]{1,9}", lambda power: "^" + power[0].translate(SUPERSCRIPTS), text)
    text = re.sub(r"(?<=-)\\?[$€£¥₹]", "", text)
    text = re.sub(r"\\?[$€£¥₹]", " ", text)
    return MINUS_WORD.sub("-", LONE_MINUS.sub(r"\1-", text))


def _of_one_number(text: str) -> str:
    """As `_plain`, with '1 000' as one number: in running text it may be two."""
    return SPACED.sub(lambda number: number[0].replace(" ", ""), _plain(text))


def _leading(text: str) -> re.Match[str] | None:
    found = NUMBER.match(text, _lead_end(text))
    return None if found is None or GOES_ON.match(text, found.end()) else found


def _lead_end(text: str) -> int:
    lead = LEAD.match(text)
    assert lead is not None  # it matches the empty text
    return lead.end()


def _value(found: re.Match[str]) -> Fraction | None:
    if len(found[0]) > MAX_NUMBER_CHARS:
        return None
    try:
        if found["whole"]:
            value = Fraction(found["whole"]) + Fraction(found["part"])
        else:
            value = Fraction(found["top"].replace(",", "")) / Fraction((found["bottom"] or "1").replace(",", ""))
    except ZeroDivisionError:
        return None
    value *= Fraction(10) ** int(found["tens"] or 0) * MAGNITUDES.get((found["magnitude"] or "").lower(), 1)
    return -value if found["minus"] else value
