"""The teacher's probabilities, kept before training: it is asked once about what `kd` then trains on, epoch by epoch."""

from collections.abc import Sequence
from typing import Annotated, Literal

from pydantic import Field

from whit.core.answers import completion_text
from whit.core.errors import DataError, RecipeError
from whit.core.flops import forward_flops
from whit.core.rundir import Run
from whit.core.seeds import stream
from whit.core.types import Artifact, Example
from whit.data.batch import Document
from whit.data.render import Renderer
from whit.data.sharing import work
from whit.data.teacher_cache import TeacherCache
from whit.models.load import Policy
from whit.prompting.zero_shot import zero_shot
from whit.stages._model import renderer_at
from whit.stages._setup import NO_RATIONALE
from whit.stages._task import load_task
from whit.stages._teachers import CACHE, cache_facts, load_teacher
from whit.stages._traces import Trace, load_traces, save_traces
from whit.training.teacher_pass import cache_teacher


def cache(
    start: Artifact,
    run: Run,
    *,
    keep: Literal["top", "sampled"] = "top",
    kept: Annotated[int, Field(gt=0, le=255)] | None = None,
    text: Literal["given", "traces"] = "given",
) -> Artifact:
    """Ask the teacher once about every token of the training texts, and keep what it says beside the start model.

    keep: "top" keeps its likeliest tokens with their log-probabilities, for topk_kl and, spread out, for every objective
        that compares distributions; "sampled" draws from it, for sampled_kl, which is unbiased (RS-KD, arXiv:2503.16870).
    kept: tokens kept, or drawn; None takes 16 (81 bytes a token) or the paper's 50 draws (about 12 different tokens).
    text: the task's worked solutions, or the "traces" that the stage before made.
    As many texts as the stage's share of the budget pays for are asked about, and stand beside the cache as traces. The
    operations are charged once, whatever the number of epochs after it. A pass that was killed goes on where it was.
    Raises RecipeError when the teacher writes other tokens than the student.
    """
    if not run.teacher:
        raise RecipeError("stage cache: there is no teacher to ask. Set teacher = a model directory.")
    renderer = renderer_at(start.path, run.template)
    traces = (
        load_traces(start, "cache") if text == "traces" else gold_traces(renderer, load_task(run.task).take("train"))
    )
    teacher = load_teacher(str(run.teacher), run)
    facts = cache_facts(start.path, renderer, teacher, kind=keep, kept=kept)
    traces, documents = _within(run, teacher, traces, renderer)
    path = run.directory / CACHE
    cache_teacher(
        path, facts, documents, teacher.decoder, seed=run.seed, ledger=run.ledger,
        notify=lambda done: run.notify({"documents": done, "of": len(documents)}),
    )  # fmt: skip
    found = TeacherCache.open(path, facts)
    return save_traces(
        start, run, traces, {"cached_tokens": found.num_tokens, "bytes_per_token": found.bytes_per_token}
    )


def _within(
    run: Run, teacher: Policy, traces: Sequence[Trace], renderer: Renderer
) -> tuple[list[Trace], list[Document]]:
    """As many of the texts, in random order, as the budget pays for. Raises BudgetError when it pays for none."""
    mixed = list(traces)
    stream(run.seed, "cache-order").shuffle(mixed)
    documents, spent = list[Document](), 0.0
    for trace in mixed:
        document = trace.document(renderer)
        tokens, scored, pairs = work([document])
        spent += forward_flops(teacher.decoder.config.shape, tokens, scored, pairs)
        if not documents:
            run.ledger.require(spent, "the teacher's pass over one text")
        if not run.ledger.fits(spent):
            break
        documents.append(document)
    return mixed[: len(documents)], documents


def gold_traces(renderer: Renderer, examples: Sequence[Example]) -> list[Trace]:
    """The task's worked solutions as traces; those longer than the student's context are left out."""
    given = [example for example in examples if example.rationale]
    if not given:
        raise DataError(NO_RATIONALE)
    texts = [completion_text(example) for example in given]
    return [
        Trace(example.id, tuple(zero_shot(example)), text, tuple(renderer.completion(text)), "gold")
        for example, text in zip(given, texts, strict=True)
    ]
