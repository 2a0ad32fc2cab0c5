"""`whit export RUN`: the model of a run or a study as an ordinary Hugging Face directory."""

from pathlib import Path
from typing import Annotated

import typer

from whit.cli._show import say


def export(
    run: Annotated[Path, typer.Argument(help="A run directory, a study's directory, or an artifact.")],
    to: Annotated[Path | None, typer.Option("--to", help="Where to write; default: `exported` inside the run.")] = None,
) -> None:
    """Write config.json, safetensors, the tokenizer and a card; transformers loads the result unchanged."""
    from whit.core.errors import UsageError
    from whit.recipes.export import export_model

    if (run / "leaderboard.json").exists():
        from whit.study.run import export_best

        say(str(export_best(run, to or run / "exported")))
    elif (run / "run.json").exists():
        say(str(export_model(run, to or run / "exported")))
    elif (run / "artifact.json").exists():
        say(str(export_model(run, to or Path(f"{run.name}-exported"))))
    else:
        raise UsageError(f"{run} is not a run: it holds no run.json, leaderboard.json or artifact.json.")
