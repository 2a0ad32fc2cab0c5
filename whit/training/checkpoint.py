"""What a killed stage goes on from: masters, moments, the next step and the ledger. Safetensors and JSON only.

Random streams are keyed by step, so no generator state is kept.
"""

import json
import shutil
from pathlib import Path
from typing import Any

from safetensors.torch import load_file, save_file

from whit.core.errors import RunError
from whit.core.ledger import Ledger
from whit.core.rundir import saving
from whit.training.optim import Optimizer


def save_checkpoint(directory: Path, optimizer: Optimizer, ledger: Ledger, step: int) -> None:
    """Replace the checkpoint in one rename. step: the next one to do."""
    target, beside = directory / "checkpoint", directory / "checkpoint.part"
    with saving(directory):
        shutil.rmtree(beside, ignore_errors=True)
        beside.mkdir(parents=True)
        save_file({k: v.contiguous() for k, v in optimizer.state().items()}, beside / "optimizer.safetensors")
        (beside / "state.json").write_text(json.dumps({"step": step, "ledger": ledger.to_plain()}))
        shutil.rmtree(target, ignore_errors=True)
        beside.rename(target)


def restore_checkpoint(directory: Path, optimizer: Optimizer) -> tuple[int, Ledger] | None:
    """Bring the optimizer back to its last checkpoint; the next step and the ledger, or None when there is none."""
    target = directory / "checkpoint"
    if not (target / "state.json").exists():
        return None
    try:
        state: dict[str, Any] = json.loads((target / "state.json").read_text())
        optimizer.restore(load_file(target / "optimizer.safetensors"))
    except Exception as error:
        raise RunError(
            f"the checkpoint in {target} cannot be read ({error}). Delete it to start the stage again."
        ) from error
    return int(state["step"]), Ledger.from_plain(state["ledger"])
