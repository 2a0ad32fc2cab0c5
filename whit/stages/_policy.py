"""On which texts a distilling stage takes its losses at each step: the data's, or the student's own, new or old."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from whit.core.flops import forward_flops
from whit.core.rundir import Run
from whit.core.seeds import stream
from whit.data.batch import Document
from whit.data.sharing import work
from whit.objectives._types import Term
from whit.stages._setup import Trainee, mean_logprob
from whit.stages._teachers import Asked
from whit.stages._terms import TermSpec
from whit.stages._transforms import Show
from whit.training.loop import Feed
from whit.training.replay import Replayer, Source

Written = tuple[list[Asked], dict[str, float]]
"""What was asked and answered for a step, and numbers to write beside the loss."""


@dataclass(frozen=True)
class BatchPolicy:
    """A producer of the training loop.

    indices: of the examples of a step; None ends the stage. data, student: give the texts for these indices at a step.
    attach: gives documents what the teacher needs with them. ignored: by side, which terms ignore its documents.
    on_policy: share of the steps on the student's text. replayer: decides instead, if there is one. pairs: both at once.
    validate: the loss on dev, which the replayer looks at. show: what the student reads of the data's texts.
    """

    run: Run
    indices: Callable[[int], list[int] | None]
    data: Callable[[list[int], int], Written]
    student: Callable[[list[int], int], Written]
    attach: Callable[[Sequence[Asked]], list[Document]]
    ignored: Mapping[str, Mapping[str, float]]
    on_policy: float
    replayer: Replayer | None
    pairs: bool
    validate: Callable[[], float]
    show: Show = lambda documents, step: (list(documents), {})

    def __call__(self, step: int, progress: float) -> Feed | None:
        chosen = self.indices(step)
        if chosen is None:
            return None
        source = self._source(step, progress)
        numbers = {"on_policy": float(source != "data")}
        documents: list[Document] = []
        left_out = 0.0
        if source == "data":
            asked, told = self.data(chosen, step)
            given = self._sided(asked, "data")
            documents, hidden = self.show(given, step)
            numbers |= told | hidden
            left_out += told.get("left_out", 0.0) + len(asked) - len(given)
        if source == "student" or self.pairs:
            asked, told = self.student(chosen, step)
            fresh = self._sided(asked, "student")
            numbers |= told
            left_out += told.get("left_out", 0.0) + len(asked) - len(fresh)
            if self.replayer:
                self.replayer.push(fresh)
            documents += fresh
        if left_out or "left_out" in numbers:  # texts that were cut off, and those that the teacher cannot read
            numbers["left_out"] = left_out
        if source == "buffer" and self.replayer:
            documents += self.replayer.draw(len(chosen), stream(self.run.seed, "kd-replay", step))
        return Feed(documents, numbers)

    def _source(self, step: int, progress: float) -> Source:
        draw = stream(self.run.seed, "kd-policy", step).random()
        if self.replayer is None:
            return "student" if draw < self.on_policy else "data"
        if step % self.replayer.settings.every == 0:
            self.replayer.validated(self.validate())
        return self.replayer.choose(draw, progress)

    def _sided(self, asked: Sequence[Asked], side: str) -> list[Document]:
        documents = self.attach(asked)
        ignored = self.ignored[side]
        return [replace(document, weights=ignored) for document in documents] if ignored else documents


def ignored_terms(terms: Sequence[Term], specs: Sequence[TermSpec]) -> dict[str, dict[str, float]]:
    """The weights of documents of each side: 0 for the terms that are taken on the other side only.

    Cross-entropy is never taken on the student's text: the label is its own sample.
    """
    other = {"data": "student", "student": "data"}
    found = {side: {t.name: 0.0 for t, s in zip(terms, specs, strict=True) if s.on == other[side]} for side in other}
    found["student"]["cross_entropy"] = 0.0
    return found


def validation(trainee: Trainee, run: Run, documents: Sequence[Document]) -> Callable[[], float]:
    """A function that gives the student's mean loss a token on these documents, and charges it."""

    def loss() -> float:
        tokens, scored, pairs = work(documents)
        shape = trainee.policy.decoder.config.shape
        with run.ledger.timed("evaluate"):
            value = -mean_logprob(trainee.policy.decoder, documents)
        run.ledger.charge("evaluate", flops=forward_flops(shape, tokens, scored, pairs), tokens=tokens)
        return value

    return loss
