"""`whit report STUDY` or `whit report RUN...`: one HTML page that opens offline."""

from pathlib import Path
from typing import Annotated

import typer

from whit.cli._show import say


def report(
    directories: Annotated[list[Path], typer.Argument(help="The directory of a study, or of one or more runs.")],
    to: Annotated[Path | None, typer.Option("--to", help="Where to write; default: report.html in the first.")] = None,
) -> None:
    """Write the report: verdict, ranking, cost, curves, completions side by side. Reads run directories only."""
    from whit.report.gather import gather_runs
    from whit.report.html import write_page, write_report
    from whit.study.loose import compare_runs, described, read_runs

    if len(directories) == 1 and not (directories[0] / "run.json").exists():
        say(str(write_report(directories[0], to)))
        return
    runs = read_runs(directories)
    files = {label: directory / "run.json" for label, (directory, _) in runs.items()}
    gathered = gather_runs(described(runs), compare_runs(runs).to_plain(), files, {})
    names = ", ".join(directory.name for directory, _ in runs.values())
    say(str(write_page(gathered, names, to or directories[0] / "report.html")))
