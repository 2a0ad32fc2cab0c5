"""Pictures of measurements on one page that opens offline, drawn by matplotlib."""

import io
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

from whit.core.errors import UsageError
from whit.core.rundir import write_beside

# Told apart by people who see red and green alike: Okabe and Ito 2008.
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#000000", "#999999")
MARKS = "os^Dv*PX"
STYLE = """body{font:16px/1.5 system-ui,sans-serif;margin:2rem auto;max-width:44rem;padding:0 1rem;color:#222}
figure{margin:1.5rem 0}svg{width:100%;height:auto}figcaption{color:#555;font-size:.9rem}h1{font-size:1.3rem;
overflow-wrap:anywhere}"""
Points = Sequence[tuple[float, float]]


def curves(series: Mapping[str, Points], x: str, y: str, *, low: float | None = None, high: float | None = None) -> str:
    """Lines through points, one a name, as SVG. x, y: what the axes say; low, high: the ends of the upright one."""
    figure, axes = _axes(x, y)
    for number, (name, points) in enumerate(series.items()):
        style = {
            "color": COLOURS[number % len(COLOURS)],
            "marker": MARKS[number % len(MARKS)],
            "markersize": 4,
            "clip_on": False,
        }
        axes.plot(*zip(*points, strict=True), label=name, **style)
    axes.set_ylim(low, high)  # after the points: an end that is not given is theirs
    if all(float(place).is_integer() for points in series.values() for place, _ in points):
        axes.xaxis.get_major_locator().set_params(integer=True)
    axes.legend(frameon=False, fontsize=8)
    return _svg(figure)


def scatter(groups: Mapping[str, Points], x: str, y: str) -> str:
    """Points in a plane, one colour and mark a name, as SVG."""
    figure, axes = _axes(x, y)
    for number, (name, points) in enumerate(groups.items()):
        style = {"color": COLOURS[number % len(COLOURS)], "marker": MARKS[number // len(COLOURS) % len(MARKS)]}
        axes.scatter(*zip(*points, strict=True), label=name, s=14, alpha=0.7, **style)
    if len(groups) <= 2 * len(COLOURS):
        axes.legend(frameon=False, fontsize=7, ncols=2)
    return _svg(figure)


def heat_map(rows: Mapping[str, Sequence[float]], columns: Sequence[str], x: str, y: str) -> str:
    """Shares by row and column, darker for more, each with its value in percent, as SVG."""
    figure, axes = _axes(x, y)
    values = list(rows.values())
    axes.imshow(values, cmap="Blues", vmin=0, vmax=1, aspect="auto")
    axes.set_xticks(range(len(columns)), columns)
    axes.set_yticks(range(len(rows)), list(rows))
    axes.grid(visible=False)
    for place, row in enumerate(values):
        for column, value in enumerate(row):
            ink = "white" if value > 0.55 else "#222222"
            axes.text(column, place, f"{100 * value:.0f}", ha="center", va="center", color=ink, fontsize=8)
    return _svg(figure)


def write_pictures(target: Path, title: str, figures: Sequence[tuple[str, str]]) -> None:
    """Write one page. figures: (SVG, what it shows)."""
    shown = "".join(f"<figure>{svg}<figcaption>{escape(caption)}</figcaption></figure>" for svg, caption in figures)
    head = '<meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">'
    head += f"<title>{escape(title)}</title><style>{STYLE}</style>"
    body = f"<h1>{escape(title)}</h1>{shown}"
    write_beside(target, f'<!doctype html><html lang="en"><head>{head}</head><body>{body}</body></html>\n')


def _axes(x: str, y: str) -> tuple[Any, Any]:
    try:
        from matplotlib.figure import Figure
    except ImportError:
        raise UsageError("pictures need the package matplotlib: pip install 'whit[plots]'.") from None
    figure = Figure(figsize=(6.4, 3.4), layout="constrained")
    axes = figure.subplots()
    axes.set(xlabel=x, ylabel=y)
    axes.grid(color="#dddddd", linewidth=0.6)
    axes.spines[["top", "right"]].set_visible(False)
    return figure, axes


def _svg(figure: Any) -> str:
    """The picture without what differs between two runs."""
    from matplotlib import rc_context

    out = io.StringIO()
    with rc_context({"svg.hashsalt": "whit", "svg.fonttype": "none"}):
        figure.savefig(out, format="svg", metadata={"Date": None})
    text = out.getvalue()
    return text[text.index("<svg") :]
