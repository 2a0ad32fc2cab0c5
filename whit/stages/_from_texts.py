"""Distilling from a file of a teacher's texts, with what a server told of its probabilities beside them."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

import torch

from whit.core.errors import DataError, RecipeError, TemplateError
from whit.core.files import read_rows
from whit.core.rundir import Run
from whit.core.types import Artifact, Example
from whit.data.alignment import sparse_targets
from whit.data.batch import Document
from whit.data.render import Renderer
from whit.objectives._types import Term
from whit.objectives.cross_entropy import cross_entropy
from whit.prompting.zero_shot import zero_shot
from whit.stages._setup import Trainee, in_epochs, steps_of, train_and_save
from whit.stages._task import load_task
from whit.stages._teachers import OTHER_TOKENS, SAME_TOKENS, asks
from whit.stages._texts import Keep, read_texts
from whit.stages._transforms import Show
from whit.training.loop import Feed


def distil_from_texts(
    trainee: Trainee, run: Run, loss: Sequence[Term], keep: Keep, epochs: float | None, batch_documents: int, show: Show
) -> Artifact:
    """Train on the texts of the run's teacher, a file, and on what stands beside them of its probabilities.

    show: what the student reads of them.
    """
    needs_top = asks(loss, frozenset({"kept_ids_TK", "kept_logprobs_TK"}))
    examples, path = load_task(run.task).take("train"), Path(str(run.teacher))
    documents, counts = documents_of_texts(trainee.renderer, examples, keep, path, needs_top=needs_top)
    has_top = any(row.get("top_logprobs") for row in islice(read_rows(path), 1))
    run.notify({"texts": counts})
    if has_top and not needs_top:
        run.notify(
            {"guard": f"the top log-probabilities in {path.name} are not used: the recipe kept-kd compares them."}
        )
    indices = in_epochs(len(documents), batch_documents, run.seed, "kd-order", epochs)

    def producer(step: int, progress: float) -> Feed | None:
        chosen = indices(step)
        return None if chosen is None else Feed(*show([documents[i] for i in chosen], step))

    num_steps = steps_of(len(documents), batch_documents, epochs)
    return train_and_save(trainee, run, loss, producer, num_steps=num_steps, texts=counts)


def documents_of_texts(
    renderer: Renderer, examples: list[Example], keep: Keep, path: Path, *, needs_top: bool
) -> tuple[list[Document], dict[str, float]]:
    """The teacher's texts for prompts of the training split, and how many of the file's are left out, and why."""
    found, counts = read_texts(path, examples, keep)
    documents, too_long = list[Document](), 0
    for text in found:
        try:
            document = renderer.document(zero_shot(text.example), text.completion)
        except TemplateError:
            too_long += 1
            continue
        documents.append(_with_top(document, text.row, renderer, path) if needs_top else document)
    if not documents:
        raise DataError(f"{path}: all of its {too_long} texts are longer than the student's context.")
    return documents, {**counts, "kept": len(documents), "too_long": too_long}


def _with_top(document: Document, row: Mapping[str, Any], renderer: Renderer, path: Path) -> Document:
    """The document with what its row says the teacher held likely at each token."""
    if not row.get("top_logprobs"):
        raise DataError(
            f"{path}: the text for '{str(row['prompt'])[:40]}...' has no top_logprobs, which topk_kl compares. Write the "
            "texts with --logprobs 5, or train on them by cross_entropy alone."
        )
    ((start, end),) = document.spans
    targets = sparse_targets(row["top_logprobs"], renderer.tokenizer, document.ids[start:end])
    width = max(len(ids) for ids, _ in targets)
    kept = {
        "kept_ids_TK": torch.tensor([[*ids, *[0] * (width - len(ids))] for ids, _ in targets]),
        "kept_logprobs_TK": torch.tensor([[*lps, *[-torch.inf] * (width - len(lps))] for _, lps in targets]),
    }
    return replace(document, recorded={**document.recorded, **kept})


def terms_of_texts(run: Run, loss: Sequence[Term], *, is_default: bool) -> list[Term]:
    """Cross-entropy, or what the recipe asks for, of the top log-probabilities that stand beside the texts."""
    if is_default:
        return [Term(cross_entropy)]
    if wrong := [term.name for term in loss if asks([term], SAME_TOKENS | OTHER_TOKENS)]:
        raise RecipeError(
            f"stage kd: teacher {run.teacher} is a file of texts, and {wrong[0]} asks a model. Terms for it are "
            "cross_entropy and, where its rows have top_logprobs (`whit write URL --logprobs 5`), topk_kl."
        )
    return list(loss)
