r"""Sets, tuples, intervals, lists and matrices in spelled LaTeX: their kind and elements."""

import re
from dataclasses import dataclass

MATRIX = re.compile(r"\\begin\{([pb]?matrix|vmatrix|array)\}(?:\{[lcr|]*\})?(.*)\\end\{\1\}", re.DOTALL)
OPENING = {"(": 1, "[": 1, "{": 1}
CLOSING = {")": 1, "]": 1, "}": 1}
EMPTY = ("\\emptyset", "\\varnothing")
TOKEN = re.compile(r"\\[a-zA-Z]+|\\.|.", re.DOTALL)
AND = re.compile(r"\s*(?:,\s*)?(?:\\text\{\s*(?:and|or)\s*\}|(?<![a-zA-Z])(?:and|or)(?![a-zA-Z]))\s*")


@dataclass(frozen=True, slots=True)
class Collection:
    """Elements in order, and what holds them: '()', '[)', 'set' for braces and bare commas, 'union', a matrix's shape."""

    kind: str
    elements: tuple[str, ...]

    @property
    def is_ordered(self) -> bool:
        return self.kind not in ("set", "union")


def collection(text: str) -> Collection | None:
    """The collection that the whole of a spelled text is; None for a single value."""
    if matrix := MATRIX.fullmatch(text.strip()):
        rows = [row.split("&") for row in re.split(r"\\\\", matrix[2].strip().removesuffix("\\\\"))]
        kind = "determinant" if matrix[1] == "vmatrix" else "matrix"
        shape = " ".join(str(len(row)) for row in rows)
        return Collection(f"{kind} {shape}", tuple(cell.strip() for row in rows for cell in row))
    if text.strip() in EMPTY:
        return Collection("set", ())
    for mark, kind in ((r"\cup", "union"), (",", "set"), (";", "set")):
        pieces = split(text, mark)
        if len(pieces) > 1 and all(pieces) and not is_thousands(text):
            return Collection(kind, _both_signs(pieces))
    held = _held(text.strip())
    if held is None:
        pieces = list(_both_signs([text]))
        return Collection("set", tuple(pieces)) if len(pieces) > 1 else None
    kind, inside = held
    elements = split(inside, ",") if inside.strip() else []
    if kind == "set":
        return Collection(kind, _both_signs(elements))
    return Collection(kind, tuple(elements)) if len(elements) > 1 or kind not in ("()", "[]") else None


def split(text: str, mark: str) -> list[str]:
    """The pieces between the marks that stand outside all brackets, stripped; intervals may close otherwise than open."""
    pieces, depth, start = [], 0, 0
    for token in TOKEN.finditer(text):
        bare = token[0].removeprefix("\\")
        depth += OPENING.get(bare, 0) - CLOSING.get(bare, 0)
        if token[0] == mark and depth == 0:
            pieces.append(text[start : token.start()].strip())
            start = token.end()
    return [*pieces, text[start:].strip()]


def is_thousands(text: str) -> bool:
    """Whether the commas of the text set off the thousands of one number."""
    return re.fullmatch(r"-?\d{1,3}(?:,\d{3})+(?:\.\d+)?", text.strip()) is not None


def _held(text: str) -> tuple[str, str] | None:
    """('()', inside) when one pair of brackets holds the whole text."""
    if text.startswith("\\{") and text.endswith("\\}"):
        kind, inside = "set", text[2:-2]
    elif text[:1] in "([" and text[-1:] in ")]" and len(text) > 1:
        kind, inside = text[0] + text[-1], text[1:-1]
    elif text.startswith("\\langle") and text.endswith("\\rangle"):
        kind, inside = "vector", text[7:-7]
    else:
        return None
    depth = 0
    for token in TOKEN.finditer(inside):
        bare = token[0].removeprefix("\\")
        depth += OPENING.get(bare, 0) - CLOSING.get(bare, 0)
        if depth < 0:
            return None
    return (kind, inside) if depth == 0 else None


def _both_signs(pieces: list[str]) -> tuple[str, ...]:
    r"""'3 \pm x' as '3 + x' and '3 - x'."""
    signed = ([p.replace("\\pm", s).removeprefix("+") for s in "+-"] if p.count("\\pm") == 1 else [p] for p in pieces)
    return tuple(piece.strip() for group in signed for piece in group)
