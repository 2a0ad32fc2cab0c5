"""What a stage trains on, as tokens: loads a tokenizer and the task, no weights."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from whit.core.answers import completion_text
from whit.core.errors import DataError
from whit.core.types import Example
from whit.data.batch import Document
from whit.models.load import load_tokenizer
from whit.prompting.zero_shot import zero_shot
from whit.stages._setup import NO_RATIONALE, renderer_at
from whit.stages._supplies import Source
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


def sample_documents(path: Path, task: Any, count: int, *, template: str | None, source: Source) -> list[Sample]:
    """The first `count` training examples of a task, rendered as a stage renders them for the model in `path`.

    source: "rationales" and "answers" are the data's; what is "written" is a model's.
    """
    renderer = renderer_at(path, template)
    samples = []
    examples = load_task(task).take("train")
    if source == "rationales":
        examples = [example for example in examples if example.rationale]
        if not examples:
            raise DataError(NO_RATIONALE)
    for example in examples[:count]:
        if source == "written":
            document = Document(renderer.prompt(zero_shot(example)), spans=())
        else:
            completion = completion_text(example, with_rationale=source == "rationales")
            document = renderer.document(zero_shot(example), completion)
        scored = {position for start, end in document.spans for position in range(start, end)}
        tokens = [renderer.tokenizer.decode([token]) for token in document.ids]
        samples.append(Sample(example.id, source == "written", tokens, [i in scored for i in range(len(tokens))]))
    return samples


def longest_completion(path: Path, examples: list[Example]) -> int:
    """Tokens of the longest gold completion, in the tokens of the model in `path`."""
    encode = load_tokenizer(path)
    return max(len(encode(completion_text(example))["input_ids"]) for example in examples)
