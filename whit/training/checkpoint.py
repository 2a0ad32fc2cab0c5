"""What a killed stage goes on from: masters, moments, the next step and the ledger. Safetensors and JSON only.

Random streams are keyed by step, so no generator state is kept.
"""

import json
import shutil
import time
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

from safetensors.torch import load_file, save_file
from torch import Tensor

from whit.core.errors import RunError
from whit.core.ledger import Ledger
from whit.core.rundir import Run, saving
from whit.training.optim import Optimizer

SELDOM = 20.0  # times what saving took, until it is done again


@dataclass
class State:
    """Where a stage stands between two rounds of the loop.

    step: the next one to do. updates: made so far. dearest: operations of the costliest round so far.
    controllers: the state of each, by its name: plain values and tensors.
    """

    ledger: Ledger
    step: int = 0
    updates: int = 0
    dearest: float = 0.0
    controllers: dict[str, Any] = field(default_factory=dict)


def save_checkpoint(directory: Path, optimizer: Optimizer, state: State) -> None:
    """Replace the checkpoint; the old one goes only when the new one is complete."""
    target, beside, old = (directory / f"checkpoint{suffix}" for suffix in ("", ".part", ".old"))
    with saving(directory):
        shutil.rmtree(beside, ignore_errors=True)
        beside.mkdir(parents=True)
        save_file({k: v.contiguous() for k, v in optimizer.state().items()}, beside / "optimizer.safetensors")
        tensors = {
            f"{name}/{key}": value.contiguous()
            for name, own in state.controllers.items() for key, value in own.items() if isinstance(value, Tensor)
        }  # fmt: skip
        if tensors:
            save_file(tensors, beside / "controllers.safetensors")
        plain = {
            name: {key: value for key, value in own.items() if not isinstance(value, Tensor)}
            for name, own in state.controllers.items()
        }
        told = {**{f.name: getattr(state, f.name) for f in fields(state)}, "ledger": asdict(state.ledger)}
        (beside / "state.json").write_text(json.dumps({**told, "controllers": plain}))
        shutil.rmtree(old, ignore_errors=True)
        if target.exists():
            target.rename(old)
        beside.rename(target)
        shutil.rmtree(old, ignore_errors=True)


def restore_checkpoint(directory: Path, optimizer: Optimizer) -> State | None:
    """Bring the optimizer back to its last checkpoint; where the stage stood, or None when there is none."""
    target = directory / "checkpoint"
    if not target.exists():  # killed between the two renames
        target = directory / "checkpoint.old"
    if not (target / "state.json").exists():
        return None
    try:
        plain: dict[str, Any] = json.loads((target / "state.json").read_text())
        optimizer.restore(load_file(target / "optimizer.safetensors"))
        if (target / "controllers.safetensors").exists():
            for name, value in load_file(target / "controllers.safetensors").items():
                controller, _, key = name.partition("/")
                plain["controllers"].setdefault(controller, {})[key] = value
    except Exception as error:
        raise RunError(
            f"the checkpoint in {target} cannot be read ({error}). Delete it to start the stage again."
        ) from error
    return State(**{**plain, "ledger": Ledger.from_plain(plain["ledger"])})


class Saver:
    """Saves a stage as often as the run asks for, and takes a twentieth of the time at the most."""

    def __init__(self, run: Run):
        self.run, self.saved_at, self.wait = run, time.monotonic(), run.checkpoint_seconds

    @property
    def is_due(self) -> bool:
        return time.monotonic() - self.saved_at > self.wait

    def save(self, optimizer: Optimizer, state: State) -> None:
        started = time.monotonic()
        save_checkpoint(self.run.directory, optimizer, state)
        self.saved_at = time.monotonic()
        self.wait = self.run.checkpoint_seconds and max(self.run.checkpoint_seconds, SELDOM * (self.saved_at - started))
