"""What is known of a model before its weights are loaded: where it is, its content key, its sizes."""

from whit.core.flops import Shape
from whit.core.rundir import digest_of
from whit.core.types import Artifact
from whit.models.config import parse_config
from whit.models.hub import hub_shape
from whit.models.load import read_config, resolve_model


def model_artifact(name: str) -> Artifact:
    """The model of this directory, GGUF file, nickname or hub name; its key is a hash of its content."""
    path = resolve_model(name)
    return Artifact(path, digest_of(path))


def model_shape(name: str) -> Shape:
    """Its sizes, from its config alone. Raises ModelError for a model that whit cannot run."""
    path = resolve_model(name)
    config = parse_config(read_config(path))
    return hub_shape(path) if config is None else config.shape
