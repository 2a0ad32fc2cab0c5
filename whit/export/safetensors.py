"""An ordinary Hugging Face directory: config, safetensors, tokenizer, and a card that says where it comes from."""

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from whit.core.errors import ModelError, UsageError
from whit.core.rundir import saving, write_beside
from whit.core.types import Artifact

NOT_EXPORTED = ("artifact.json", "metrics.jsonl", "snapshot-*", "snapshot.json", "stopped.json")


def safetensors(artifact: Artifact, target: Path, *, card: Mapping[str, Any] | None = None) -> Path:
    """Copy a model out of the store. card: what README.md tells beside the stage's own record.

    Raises UsageError when the target exists and holds something else than an earlier export.
    """
    if not (artifact.path / "config.json").exists():
        raise ModelError(f"{artifact.path} holds no model. Was it deleted? Run again to make it.")
    if target.exists() and any(target.iterdir()) and not (target / "config.json").exists():
        raise UsageError(f"{target} exists and is not a model directory. Choose another target.")
    with saving(target):
        partial = target.with_name(target.name + ".part")
        shutil.rmtree(partial, ignore_errors=True)
        shutil.copytree(artifact.path, partial, ignore=shutil.ignore_patterns(*NOT_EXPORTED))
        write_beside(partial / "README.md", _card(artifact, dict(card or {})))
        shutil.rmtree(target, ignore_errors=True)
        partial.rename(target)
    return target


def _card(artifact: Artifact, facts: dict[str, Any]) -> str:
    record = artifact.facts()
    if record:
        facts |= {"last stage": record["facts"]["stage"], "content key": artifact.key, "seed": record["facts"]["seed"]}
    lines = ["---", "library_name: transformers", "---", "", f"# {facts.pop('title', artifact.path.name)}", ""]
    lines += [facts.pop("about", "Trained with whit."), "", "| | |", "|---|---|"]
    return "\n".join([*lines, *(f"| {name} | {value} |" for name, value in facts.items()), ""])
