"""What a stage is given by the system, without a recipe around it."""

from pathlib import Path
from typing import Any

from whit.core.ledger import Ledger
from whit.core.rundir import Facts, Run
from whit.core.types import Artifact

WORDS = {"name": "word_problems", "size": 40, "operations": (1, 1)}
"""A small task: problems of one operation."""


def tiny_run(
    directory: Path, limit_flops: float | None = None, *, seed: int = 0, dtype: str = "float64", **given: Any
) -> Run:
    """A run in `directory`.partial; its artifact will be `directory`. given: the run's other fields."""
    partial = directory.with_name(directory.name + ".partial")
    partial.mkdir(parents=True, exist_ok=True)
    facts = Facts("test", {}, {}, seed, limit_flops, "", dtype, "cpu", "")
    return Run(partial, facts, Ledger(limit_flops), **{"task": WORDS, "max_new_tokens": 12, "dtype": dtype, **given})


def as_artifact(model: Path) -> Artifact:
    """A model directory as the start of a stage."""
    return Artifact(model, model.name)
