"""What is known of a model before its weights are loaded, where it is, its content key, its sizes; and its renderer."""

from pathlib import Path

from whit.core.flops import Shape
from whit.core.rundir import digest_of
from whit.core.types import Artifact
from whit.data.render import Renderer
from whit.models.config import parse_config
from whit.models.hub import hub_shape
from whit.models.load import Policy, generation_stops, load_tokenizer, read_config, resolve_model


def model_artifact(name: str) -> Artifact:
    """The model of this directory, GGUF file, nickname or hub name; its key is a hash of its content."""
    path = resolve_model(name)
    return Artifact(path, digest_of(path))


def model_shape(name: str) -> Shape:
    """Its sizes, from its config alone. Raises ModelError for a model that whit cannot run."""
    path = resolve_model(name)
    config = parse_config(read_config(path))
    return hub_shape(path) if config is None else config.shape


def renderer_of(policy: Policy, template: str | None = None) -> Renderer:
    """The renderer of a loaded model, with its own chat template where none is given."""
    limit = policy.decoder.config.max_length
    return Renderer(policy.tokenizer, max_length=limit, more_stops=policy.stop_ids, template=template)


def renderer_at(path: Path, template: str | None) -> Renderer:
    """The renderer of the model in `path`, as a stage that trains it has it."""
    raw = read_config(path)
    config = parse_config(raw)
    limit = config.max_length if config else int(raw.get("text_config", raw).get("max_position_embeddings", 2048))
    return Renderer(load_tokenizer(path), max_length=limit, more_stops=generation_stops(path), template=template)
