r"""Written mathematics in one spelling: '√3/2 cm', '\dfrac{\sqrt 3}{2}\text{ cm}' and '$\frac{\sqrt{3}}{2}$ cm' are LaTeX.

Decimals become fractions, so that nothing is compared after rounding.
"""

import re

from whit.core.answers import CHARACTERS

SYMBOLS = str.maketrans(
    {
        "×": r"\times ", "·": r"\cdot ", "÷": "/", "π": r"\pi ", "∞": r"\infty ", "≤": r"\le ", "≥": r"\ge ", "≠": r"\ne ",
        "∪": r"\cup ", "∩": r"\cap ", "∈": r"\in ", "±": r"\pm ", "°": r"^\circ ", "²": "^2", "³": "^3", "∅": r"\emptyset ",
        "½": r"\frac{1}{2}", "¼": r"\frac{1}{4}", "¾": r"\frac{3}{4}", "θ": r"\theta ", "α": r"\alpha ", "β": r"\beta ",
        "〈": r"\langle ", "〉": r"\rangle ", "⟨": r"\langle ", "⟩": r"\rangle ",
    }
)  # fmt: skip
CURRENCIES = {"$": "dollar", "€": "euro", "£": "pound", "¥": "yen", "₹": "rupee"}
FULL_STOP = re.compile(r"(?<!\.)\.$")  # three are no end: 0.333... is not 0.333
SPACES = re.compile(r"(?<!\\)\\[,;:! ]|~|\\q?quad\b|\\(?:left|right|[bB]igg?[lr]?|displaystyle|limits)(?![a-zA-Z])")
GROUP_SPACE = r"(?:\\[,;: ]| )"
THIN = re.compile(r"(?<=[\d,])\s*\\!\s*(?=[\d,])")  # MATH writes 10,\!080 and 11,\! 111,\! 100
GROUPED = re.compile(rf"(?<![\w.,^/])(?<![_^]\{{)\d{{1,3}}(?:{GROUP_SPACE}\d{{3}}(?!\d))+(?![\d/]|,\d|{GROUP_SPACE}\d)")
DELIMITED = re.compile(r"\$\$?(.*?)\$?\$|\\\[(.*)\\\]|\\\((.*)\\\)", re.DOTALL)
BRACED = re.compile(r"\s*\{[^{},\\]*\}\s*")  # {5} is 5; a set has \{ or a comma
WORDS = re.compile(r"\\(?:text|mathrm|mathbf|textbf|mbox|textit|textrm|operatorname|mathit)\s*\{([^{}]*)\}")
FUNCTIONS = "arcsin|arccos|arctan|sinh|cosh|tanh|sin|cos|tan|cot|sec|csc|ln|log|exp|pi|theta|alpha|beta|sqrt"
ANGLE_OF = re.compile(r"(?<![a-zA-Z])(?:sin|cos|tan|cot|sec|csc)(?![a-zA-Z])")
DEGREES = re.compile(r"(\d+)\s*\^\s*\{?\s*\\circ\s*\}?")
PLAIN_FUNCTION = re.compile(rf"(?<![\\a-zA-Z])({FUNCTIONS})(?![a-zA-Z])")
ROOT_OF = re.compile(r"√\s*(\d+|[a-z]|(?=\())")
THOUSANDS = re.compile(r"(?<![\d.,])\d{1,3}(?:,\d{3})+(?![\d,])")
REPEATING = re.compile(r"(\d*)\.(\d*)\\(?:overline|bar)\{(\d+)\}")
DECIMAL = re.compile(r"(\d*)\.(\d+)")
SCIENTIFIC = re.compile(r"(?<![\w.])(\d+(?:\.\d+)?)[eE]([+-]?\d+)(?!\w)")
MIXED = re.compile(r"(?<![\d^_{.}])(\d+)\s*(?:\\frac\{(\d+)\}\{(\d+)\}|(?<=\s)(\d+)/(\d+))(?!\d)")


def spelled(text: str) -> str:
    """`text` as plain LaTeX without dollars, sizes and spacing; words stand in `\\text{}` and units keep their place."""
    text = FULL_STOP.sub("", text.strip()).translate(CHARACTERS)
    if found := DELIMITED.fullmatch(text):
        text = next(group for group in found.groups() if group is not None)
    if BRACED.fullmatch(text):
        text = text.strip()[1:-1]
    text = ROOT_OF.sub(lambda root: rf"\sqrt{{{root[1]}}}" if root[1] else "sqrt", text)
    text = GROUPED.sub(lambda number: re.sub(GROUP_SPACE, "", number[0]), THIN.sub("", text))
    text = text.translate(SYMBOLS).replace("{,}", ",").replace(r"\%", "%").replace("**", "^")
    text = re.sub(r"\\[dtc]frac", r"\\frac", WORDS.sub(r" \\text{\1} ", SPACES.sub(" ", text)))
    text = re.sub(r"\\frac\s*(\d)\s*(\d)", r"\\frac{\1}{\2}", re.sub(r"\\sqrt\s*(\d+|[a-z])", r"\\sqrt{\1}", text))
    text = re.sub(r"\\(?:leq|leqslant)(?![a-z])", r"\\le", re.sub(r"\\(?:geq|geqslant)(?![a-z])", r"\\ge", text))
    text = re.sub(r"_\s*([a-zA-Z0-9])", r"_{\1}", text)
    text = re.sub(r"<=", r"\\le ", re.sub(r">=", r"\\ge ", text))
    for sign, name in CURRENCIES.items():
        text = re.sub(
            rf"^(\s*-?\s*)\\?{re.escape(sign)}(.*)$", rf"\1\2 \\text{{{name}}}", text.strip(), flags=re.DOTALL
        )
    return " ".join(text.replace("\\$", " ").replace("$", " ").split())


def exact(text: str) -> str:
    """One spelled expression as LaTeX in which every number is an integer or a fraction, ready for a parser."""
    text = re.sub(r"(?<=\d)\s*x\s*(?=10\s*\^)", r" \\cdot ", THOUSANDS.sub(lambda n: n[0].replace(",", ""), text))
    text = SCIENTIFIC.sub(lambda n: rf"({n[1]} \cdot 10^{{{int(n[2])}}})", text)
    if ANGLE_OF.search(text):
        text = DEGREES.sub(r"{(\\frac{\1\\pi}{180})}", text)
    text = MIXED.sub(lambda n: rf"({n[1]}+\frac{{{n[2] or n[4]}}}{{{n[3] or n[5]}}})", text)
    text = DECIMAL.sub(_fraction, REPEATING.sub(_repeating, text))
    text = _with_roots(PLAIN_FUNCTION.sub(r"\\\1 ", text))
    text = re.sub(r"\^\s*(-?\d+|-[a-z])", r"^{\1}", re.sub(r"\^\s*\(([^()]*)\)", r"^{\1}", text))
    return text.replace("*", r" \cdot ")


def _fraction(found: re.Match[str]) -> str:
    return rf"(\frac{{{int(found[1] + found[2])}}}{{{10 ** len(found[2])}}})"


def _repeating(found: re.Match[str]) -> str:
    r"""'0.1\overline{6}' is (16 - 1)/90."""
    fixed, period = found[1] + found[2], found[3]
    bottom = (10 ** len(period) - 1) * 10 ** len(found[2])
    return rf"(\frac{{{int(fixed + period) - int(fixed or '0')}}}{{{bottom}}})"


def _with_roots(text: str) -> str:
    r"""'\sqrt (x+1)' as '\sqrt{x+1}'."""
    while found := re.search(r"\\sqrt\s*\(", text):
        depth, end = 1, found.end()
        while end < len(text) and depth:
            depth += {"(": 1, ")": -1}.get(text[end], 0)
            end += 1
        inside = text[found.end() : end - 1] if not depth else text[found.end() :]
        text = text[: found.start()] + rf"\sqrt{{{inside}}}" + text[end:]
    return text
