"""Export of a finished run, for layers above: the model of an artifact in another tool's format."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from whit.core.types import Artifact
from whit.export.safetensors import safetensors


def export_model(artifact: Artifact, target: Path, card: Mapping[str, Any] | None = None) -> Path:
    """Write the model of an artifact to `target` as a Hugging Face directory."""
    return safetensors(artifact, target, card=card)
