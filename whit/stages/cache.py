"""The teacher's probabilities, kept before training: it is asked once about what `kd` then trains on, epoch by epoch."""

import json
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from whit.core.errors import RecipeError
from whit.core.rundir import Run
from whit.core.types import Artifact
from whit.data.teacher_cache import TeacherCache
from whit.stages._model import renderer_at
from whit.stages._setup import gold_documents
from whit.stages._task import load_task
from whit.stages._teachers import CACHE, cache_facts, load_teacher
from whit.stages._traces import REPORT, TRACES, link_file, link_model, load_traces
from whit.training.teacher_pass import cache_teacher


def cache(
    start: Artifact,
    run: Run,
    *,
    kind: Literal["top", "sampled"] = "top",
    kept: Annotated[int, Field(gt=0, le=255)] | None = None,
    temperature: Annotated[float, Field(gt=0)] = 1.0,
    text: Literal["given", "traces"] = "given",
) -> Artifact:
    """Ask the teacher once about every token of the training texts, and keep what it says beside the start model.

    kind: "top" keeps its likeliest tokens with their log-probabilities, for topk_kl and, spread out, for every objective
        that compares distributions; "sampled" draws from it, for sampled_kl, which is unbiased (RS-KD, arXiv:2503.16870).
    kept: tokens kept, or drawn; None takes 16 (81 bytes a token) or the paper's 50 draws (about 12 different tokens).
    temperature: at which "sampled" is drawn; the paper's is 1.
    text: the task's worked solutions, or the "traces" that the stage before made.
    Its operations are charged once, whatever the number of epochs after it. A pass that was killed goes on where it was.
    Raises RecipeError when the teacher writes other tokens than the student.
    """
    if not run.teacher:
        raise RecipeError("stage cache: there is no teacher to ask. Set teacher = a model directory.")
    renderer = renderer_at(start.path, run.template)
    if text == "traces":
        documents = [trace.document(renderer) for trace in load_traces(start, "cache")]
    else:
        documents = gold_documents(renderer, load_task(run.task).take("train"), with_rationale=True)
    teacher = load_teacher(str(run.teacher), run)
    facts = cache_facts(start.path.name, renderer, teacher, kind=kind, kept=kept, temperature=temperature)
    path = run.directory / CACHE
    cache_teacher(
        path, facts, documents, teacher.decoder, seed=run.seed, ledger=run.ledger,
        notify=lambda done: run.notify({"documents": done, "of": len(documents)}),
    )  # fmt: skip
    found = TeacherCache.open(path, facts)
    report = {"documents": len(documents), "tokens": found.num_tokens, "bytes_per_token": found.bytes_per_token}

    def write(directory: Path) -> None:
        link_model(start.path, directory)
        if text == "traces":
            link_file(start.path / TRACES, directory / TRACES)
        (directory / REPORT).write_text(json.dumps(report, indent=1))

    return run.save(write, cache=report)
