"""What a stage trains on, as tokens: loads a tokenizer and the task, no weights."""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from whit.core.answers import completion_text
from whit.core.types import Artifact, Example
from whit.data.batch import Document
from whit.data.render import Renderer
from whit.models.load import load_tokenizer
from whit.prompting.zero_shot import zero_shot
from whit.stages._given import given, is_written
from whit.stages._model import renderer_at
from whit.stages._task import load_task


@dataclass(frozen=True)
class Sample:
    """One training document: its tokens as text, and which of them are scored."""

    id: str
    written: bool  # by a model while the stage runs: here is the prompt, with nothing to supervise yet
    tokens: list[str]
    is_supervised: list[bool]

    @property
    def num_supervised(self) -> int:
        return sum(self.is_supervised)


def sample_documents(
    start: Artifact, task: Any, stage: Mapping[str, Any], count: int, *, template: str | None, seed: int
) -> list[Sample]:
    """The first `count` documents that a resolved stage trains on, or makes for the next, rendered as it renders them.

    Where a model writes the completions, prompts of the training split.
    """
    renderer, data = renderer_at(start.path, template), load_task(task)
    examples = data.take("train")
    if is_written(stage, has_rationales=data.has_rationales):
        asked = ((e.id, Document(renderer.prompt(zero_shot(e)), spans=())) for e in examples)
        return [_sample(renderer, *pair, written=True) for pair in islice(asked, count)]
    made = ((identity, d) for identity, make in given(stage, start, examples, renderer, seed) for d in make())
    return [_sample(renderer, *pair, written=False) for pair in islice(made, count)]


def _sample(renderer: Renderer, identity: str, document: Document, *, written: bool) -> Sample:
    scored = {position for start, end in document.spans for position in range(start, end)}
    tokens = [renderer.tokenizer.decode([token]) for token in document.ids]
    return Sample(identity, written, tokens, [i in scored for i in range(len(tokens))])


def longest_completion(path: Path, examples: list[Example]) -> int:
    """Tokens of the longest gold completion, in the tokens of the model in `path`."""
    encode = load_tokenizer(path)
    return max(len(encode(completion_text(example))["input_ids"]) for example in examples)
