"""One line of `metrics.jsonl` a step: what the loss, the rates and the producer said."""

import json
from pathlib import Path
from typing import Any

from whit.core.rundir import read_metrics, saving


class Meter:
    """Appends to a file; after a resume, the lines of steps that will be done again are cut off."""

    def __init__(self, path: Path, first_step: int):
        self.path = path
        kept = [line for line in read_metrics(path) if line["step"] < first_step]
        with saving(path.parent):
            path.write_text("".join(json.dumps(line) + "\n" for line in kept))

    def write(self, line: dict[str, Any]) -> None:
        rounded = {k: float(f"{v:.6g}") if isinstance(v, float) else v for k, v in line.items()}
        with saving(self.path.parent), self.path.open("a") as file:
            file.write(json.dumps(rounded) + "\n")
