"""When the student writes its own text, and when old text is taken again.  Source: the code of arXiv:2402.03898."""

from collections import deque
from collections.abc import Mapping
from random import Random
from typing import Any, Literal

from pydantic import Field

from whit.core.settings import Frozen
from whit.data.batch import Document, Twin

STEP = 0.1  # by which the probability of the student's text rises, as in the code
Source = Literal["data", "student", "buffer"]


class Replay(Frozen):
    """Settings of the adaptive replay; eps, schedule and capacity are the code's.

    eps: the validation loss has to rise by so much before more of the student's text is asked for.
    schedule: of fresh text among it: less of it with the progress, half of it, or more.
    capacity: documents that are kept for replay.
    every: steps between two looks at the validation loss (the code looks once an epoch).
    items: dev examples whose gold completions are looked at; this is charged.
    """

    eps: float = Field(0.1, ge=0)
    schedule: Literal["decreasing", "constant", "increasing"] = "decreasing"
    capacity: int = Field(1000, gt=0)
    every: int = Field(50, gt=0)
    items: int = Field(64, gt=0)


class Replayer:
    """The probability of the student's text, which begins at 0, and the documents that it wrote."""

    name = "replay"

    def __init__(self, settings: Replay):
        self.settings = settings
        self.probability = 0.0
        self.previous: float | None = None  # the last validation loss that counted
        self.buffer: deque[Document] = deque(maxlen=settings.capacity)

    def validated(self, loss: float) -> None:
        """Told of a validation loss: one that is eps above the last that counted asks for more of the student's text."""
        if self.previous is None:
            self.previous = loss
        elif loss >= self.previous + self.settings.eps:
            self.probability = min(1.0, self.probability + STEP)
            self.previous = loss

    def choose(self, draw: float, progress: float) -> Source:
        """Where the next batch comes from. draw: uniform between 0 and 1."""
        share = {"decreasing": 1 - progress, "constant": 0.5, "increasing": progress}[self.settings.schedule]
        is_filling = len(self.buffer) < self.settings.capacity
        if draw < self.probability * share or (draw < self.probability and is_filling):
            return "student"
        return "buffer" if draw < self.probability else "data"

    def push(self, documents: list[Document]) -> None:
        self.buffer += documents

    def draw(self, count: int, rng: Random) -> list[Document]:
        return rng.sample(list(self.buffer), min(count, len(self.buffer)))

    def observe(self, line: Mapping[str, float]) -> None:
        """A training step says nothing to it: it is moved by `validated` and `push`."""

    def numbers(self) -> dict[str, float]:
        return {"student_probability": self.probability}

    def state(self) -> dict[str, Any]:
        kept = [_plain(document) for document in self.buffer]
        return {"probability": self.probability, "previous": self.previous, "buffer": kept}

    def restore(self, state: Mapping[str, Any]) -> None:
        self.probability, self.previous = state["probability"], state["previous"]
        self.buffer.clear()
        self.buffer += [_document(kept) for kept in state["buffer"]]


def _plain(document: Document) -> dict[str, Any]:
    """What is needed of a document, as JSON has it: nothing is recorded of text that a student writes."""
    assert not document.recorded and not document.facts
    plain: dict[str, Any] = {"ids": list(document.ids), "spans": document.spans, "weights": dict(document.weights)}
    if document.twin is not None:
        plain["twin"] = {"document": _plain(document.twin.document), "groups": document.twin.groups}
    return plain


def _document(plain: Mapping[str, Any]) -> Document:
    twin = None
    if "twin" in plain:
        groups = tuple((own, other) for own, other in plain["twin"]["groups"])
        twin = Twin(_document(plain["twin"]["document"]), groups)
    spans = tuple((start, end) for start, end in plain["spans"])
    return Document(ids=plain["ids"], spans=spans, weights=plain["weights"], twin=twin)
