"""`whit export RUN`: the model of a run or a study as an ordinary Hugging Face directory, or as a GGUF file."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from whit.cli._show import say


def export(
    run: Annotated[Path, typer.Argument(help="A run directory, a study's directory, or an artifact.")],
    to: Annotated[Path | None, typer.Option("--to", help="Where to write; default: inside the run, or here.")] = None,
    as_format: Annotated[
        Literal["safetensors", "gguf"], typer.Option("--format", help="gguf: one file in float16, for llama.cpp.")
    ] = "safetensors",
) -> None:
    """Write config.json, safetensors, the tokenizer and a card; transformers loads the result unchanged.

    With --format gguf, any model is written as one file.
    """
    from whit.core.errors import UsageError
    from whit.recipes.export import export_gguf, export_model

    if as_format == "gguf":
        is_ours = any((run / name).exists() for name in ("leaderboard.json", "run.json"))
        name = f"{run.resolve().name}.gguf"
        say(str(export_gguf(run, to or (run / name if is_ours else Path(name)))))
    elif (run / "leaderboard.json").exists():
        from whit.study.run import export_best

        say(str(export_best(run, to or run / "exported")))
    elif (run / "run.json").exists():
        say(str(export_model(run, to or run / "exported")))
    elif (run / "artifact.json").exists():
        say(str(export_model(run, to or Path(f"{run.name}-exported"))))
    else:
        raise UsageError(f"{run} is not a run: it holds no run.json, leaderboard.json or artifact.json.")
