"""Options that several commands share."""

import re
from pathlib import Path
from typing import Annotated, Any

import typer

Runs = Annotated[Path, typer.Option("--runs", help="Directory of runs and artifacts.", envvar="WHIT_RUNS")]
Json = Annotated[bool, typer.Option("--json", help="The result as JSON, for machines.")]
Device = Annotated[str, typer.Option("--device", help="cpu, cuda or auto.")]
TASK = 'A task\'s name, a CSV / JSONL / Parquet file, or a table: {name = "code.jsonl", verifier = "python_tests"}.'
RUNS = Path("runs")


def task_spec(text: str, columns: str | None = None) -> str | dict[str, Any]:
    """A task as a recipe holds it, from --task and --columns. Raises UsageError for a table that is none."""
    from whit.core.errors import UsageError
    from whit.core.settings import parse_value

    spec = parse_value(text) if text.lstrip().startswith("{") else text
    if isinstance(spec, dict) and isinstance(spec.get("name"), str):
        return {**spec, "columns": columns} if columns else spec
    if text.lstrip().startswith("{"):
        raise UsageError(
            f"--task {text}: this is no table with the name of a task or file. Write it as TOML, in quotes for the shell: "
            """--task '{name = "code.jsonl", verifier = "python_tests"}'."""
        )
    return {"name": text, "columns": columns} if columns else text


def resolve_device(device: str) -> str:
    """auto takes the first GPU, else the CPU. Raises UsageError for a device that is not there."""
    import torch

    from whit.core.errors import UsageError

    if device == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    if not re.fullmatch(r"cpu|cuda(:\d+)?", device):
        raise UsageError(f"--device {device}: there is no such device. Use cpu, cuda, cuda:0 or auto.")
    if device.startswith("cuda") and not torch.cuda.is_available():
        raise UsageError(f"--device {device}: torch {torch.__version__} sees no CUDA device here. Use --device cpu.")
    return device
