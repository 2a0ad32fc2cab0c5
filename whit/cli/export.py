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
    from whit.core.files import read_record
    from whit.core.types import Artifact
    from whit.recipes.export import export_model

    run_of = run
    if (run / "leaderboard.json").exists():
        best = read_record(run / "leaderboard.json")["best_run"]
        if best is None:
            raise UsageError(f"{run}: no run of this study is finished, so there is no best model. Run it again first.")
        run_of = run / "runs" / best
    if (run_of / "run.json").exists():
        model = Path(read_record(run_of / "run.json")["model"])
    elif (run_of / "artifact.json").exists():
        model = run_of
    else:
        raise UsageError(f"{run} is not a run: it holds no run.json, leaderboard.json or artifact.json.")
    target = to or (run / "exported" if run_of is not model else Path(f"{model.name}-exported"))
    say(str(export_model(Artifact(model, model.name.rpartition("-")[2]), target)))
