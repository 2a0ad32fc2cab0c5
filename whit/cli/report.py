"""`whit report STUDY`: a study as one HTML page that opens offline."""

from pathlib import Path
from typing import Annotated

import typer

from whit.cli._show import say


def report(
    study: Annotated[Path, typer.Argument(help="The directory of a study.")],
    to: Annotated[Path | None, typer.Option("--to", help="Where to write; default: report.html in it.")] = None,
) -> None:
    """Write the report: verdict, ranking, cost, curves, completions side by side. Reads run directories only."""
    from whit.report.html import write_report

    say(str(write_report(study, to)))
