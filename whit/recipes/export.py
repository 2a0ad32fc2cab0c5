"""Export of a finished run, for layers above: the model of an artifact in another tool's format."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from whit.core.types import Artifact
from whit.export.gguf import gguf
from whit.export.safetensors import safetensors
from whit.stages._model import model_artifact


def export_gguf(model: str | Path, target: Path) -> Path:
    """Write a model to `target` as a GGUF file in float16. model: as for `export_model`."""
    return gguf(model_artifact(str(model)), target)


def export_model(model: Artifact | str | Path, target: Path, card: Mapping[str, Any] | None = None) -> Path:
    """Write a model to `target` as a Hugging Face directory.

    model: an artifact, the directory of a run or a study, or any model by directory, nickname or hub name.
    """
    artifact = model if isinstance(model, Artifact) else model_artifact(str(model))
    return safetensors(artifact, target, card=card)
