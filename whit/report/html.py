"""A study as one self-contained HTML page that opens offline.

Everything that a model or a user wrote travels as JSON in a script element of a type that no browser runs, and reaches the
page as text nodes only: markup in it stays text.
"""

import json
import math
from datetime import datetime
from pathlib import Path
from typing import Any

from whit.core.rundir import write_beside
from whit.report.gather import Json, gather

PAGE = Path(__file__).parent / "page"


def write_report(directory: Path, target: Path | None = None) -> Path:
    """Write the report of a study's directory (default: `report.html` in it). Returns where it is."""
    return write_page(gather(directory), directory.name, target or directory / "report.html")


def write_page(gathered: Json, name: str, target: Path) -> Path:
    """Write the page of gathered data, made now from the directory `name`. Returns where it is."""
    made = datetime.now().astimezone().strftime("%Y-%m-%d %H:%M %Z")
    write_beside(target, render({**gathered, "made": made, "directory": name}))
    return target


def render(data: dict[str, Any]) -> str:
    """The page of gathered data."""
    page = (PAGE / "report.html").read_text()
    title = f"{data['directory']}: whit report"
    for mark, text in (
        ("/*STYLE*/", (PAGE / "report.css").read_text()),
        ("/*SCRIPT*/", (PAGE / "report.js").read_text()),
        ("<!--TITLE-->", _escaped(title)),
        ('"DATA"', _embedded(data)),
    ):
        page = page.replace(mark, text, 1)
    return page


def _embedded(data: dict[str, Any]) -> str:
    """JSON that cannot end its script element, whatever a string in it holds."""
    text = json.dumps(_finite(data), ensure_ascii=False, separators=(",", ":"), default=str, allow_nan=False)
    return (
        text.replace("<", "\\u003c").replace(">", "\\u003e").replace("\u2028", "\\u2028").replace("\u2029", "\\u2029")
    )


def _finite(value: Any) -> Any:
    """What nobody measured is null, not a number that JSON does not have."""
    if isinstance(value, dict):
        return {str(key): _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _escaped(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
