"""Options that several commands share."""

import re
from pathlib import Path
from typing import Annotated

import typer

Runs = Annotated[Path, typer.Option("--runs", help="Directory of runs and artifacts.", envvar="WHIT_RUNS")]
Json = Annotated[bool, typer.Option("--json", help="The result as JSON, for machines.")]
Device = Annotated[str, typer.Option("--device", help="cpu, cuda or auto.")]
RUNS = Path("runs")


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
