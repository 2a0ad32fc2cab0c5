"""Knowledge distillation from a live teacher, or from a file of its texts.

A live teacher scores the tokens that the student trains on: forward KL over the whole vocabulary, mixed with cross-entropy
(arXiv:1503.02531). A share of the steps may be taken on the student's own completions (arXiv:2306.13649).
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from whit.core.errors import DataError, RecipeError
from whit.core.parts import inputs
from whit.core.rundir import Run
from whit.core.seeds import key64, stream
from whit.core.types import Artifact, Example, Group
from whit.data.batch import Document
from whit.data.render import Renderer
from whit.generation.engine import Engine
from whit.generation.sampler import Sampling
from whit.models.adapters import Lora
from whit.models.load import Policy, load_policy, resolve_model
from whit.objectives._types import Term
from whit.objectives.cross_entropy import cross_entropy
from whit.prompting.zero_shot import zero_shot
from whit.rewards.accuracy import accuracy
from whit.rollouts.batches import plain_document
from whit.rollouts.collect import collect, figures
from whit.stages._setup import Trainee, gold_documents, in_epochs, renderer_of, set_up, steps_of, train_and_save
from whit.stages._task import is_file, load_task
from whit.stages._terms import TermSpec, build_terms
from whit.stages._texts import Keep, read_texts
from whit.training.loop import Feed
from whit.training.optim import Optim

KL_AND_CROSS_ENTROPY = (
    TermSpec(objective="forward_kl", weight=0.5),  # the balance of DistillKit's default
    TermSpec(objective="cross_entropy", weight=0.5),
)


def kd(
    start: Artifact,
    run: Run,
    *,
    text: Literal["given", "teacher"] | None = None,
    terms: tuple[TermSpec, ...] = KL_AND_CROSS_ENTROPY,
    on_policy: Annotated[float, Field(ge=0, le=1)] = 0.0,
    epochs: Annotated[float, Field(gt=0)] | None = None,
    batch_documents: Annotated[int, Field(gt=0)] = 32,
    sampling: Sampling = Sampling(),
    optim: Optim = Optim(),
    lora: Lora | None = None,
    max_tokens: Annotated[int, Field(ge=0)] = 0,
    recompute: bool = False,
    keep: Keep = "all",
) -> Artifact:
    """Minimise the terms, by default half cross-entropy and half forward KL to the run's teacher.

    text: what the losses are taken on off-policy: "given" rationales, or completions that the "teacher" writes as the
        stage goes (charged), in the student's chat template; those cut off are left out. None takes the rationales where
        the task has them.
    on_policy: share of the steps taken on fresh completions of the student. There cross-entropy is left out: the label is
        the student's own sample.
    keep: "correct" trains on the teacher's texts that the task's verifier accepts, and leaves out the others.
    A teacher that is a JSONL or CSV file (columns prompt and completion) is trained on as text, whatever its tokenizer.
    Rows whose column `finish` says "length" were cut off and are left out. What its texts cost to write is not charged: the
    user has them. Where the rows say it, it stands in the price from nothing.
    Raises RecipeError when there is no teacher, when it writes other tokens than the student, and for settings that a
    file of texts cannot follow.
    """
    if not run.teacher:
        raise RecipeError("stage kd: there is no teacher. Set teacher = a model directory, or a file of its texts.")
    loss = build_terms(terms)
    if is_file(run.teacher):
        if on_policy or text or terms != KL_AND_CROSS_ENTROPY:
            raise RecipeError(
                f"stage kd: teacher {run.teacher} is a file of texts: it is trained on by cross-entropy, so text, terms "
                "and on_policy have no use. Leave them out, or give a teacher model."
            )
        trainee = set_up(start, run, "kd", optim, lora, max_tokens=max_tokens, recompute=recompute)
        return _on_texts(trainee, run, keep, epochs, batch_documents)
    asks_teacher = any(name.startswith("teacher") for term in loss for name in inputs(term.objective))
    if on_policy and not asks_teacher:
        raise RecipeError(
            f"stage kd: on_policy={on_policy} needs a term that asks the teacher, such as forward_kl; the terms are "
            f"{', '.join(term.name for term in loss)}."
        )
    task = load_task(run.task)
    if text is None:
        text = "given" if task.has_rationales else "teacher"
    if keep == "correct" and (text == "given" or on_policy == 1):
        raise RecipeError(
            'stage kd: keep = "correct" chooses among what the teacher writes, and here it writes nothing: the losses are '
            'taken on given rationales, or on the student\'s own completions. Set text = "teacher" and on_policy below 1, '
            "or leave keep out."
        )
    examples = [e for e in task.take("train") if e.rationale] if text == "given" else task.take("train")
    if not examples:
        raise DataError('stage kd: no training example has a rationale. Use text = "teacher".')
    trainee = set_up(start, run, "kd", optim, lora, max_tokens=max_tokens, recompute=recompute)
    teacher = load_policy(resolve_model(str(run.teacher)), dtype=run.dtype, device=run.device)
    teacher.decoder.requires_grad_(False)
    _check_vocabularies(trainee.policy, teacher)
    write = _writer(trainee, teacher, run, sampling.within(run.max_new_tokens), keep)
    given = gold_documents(trainee.renderer, examples, with_rationale=True) if text == "given" else []
    indices = in_epochs(len(examples), batch_documents, run.seed, "kd-order", epochs)

    def producer(step: int, progress: float) -> Feed | None:
        chosen = indices(step)
        if chosen is None:
            return None
        is_on_policy = stream(run.seed, "kd-policy", step).random() < on_policy
        if not is_on_policy and text == "given":
            return Feed([given[i] for i in chosen], {"on_policy": 0.0})
        return write([examples[i] for i in chosen], step, is_on_policy)

    scorer = teacher if asks_teacher else None  # a teacher that only writes does not score as well
    num_steps = steps_of(len(examples), batch_documents, epochs)
    return train_and_save(trainee, run, loss, producer, num_steps=num_steps, teacher=scorer)


def _writer(
    student: Trainee, teacher: Policy, run: Run, sampling: Sampling, keep: Keep
) -> Callable[[list[Example], int, bool], Feed]:
    """A function that has the student, or the teacher, write completions of examples and makes documents of them."""
    writers = {
        is_student: (Engine(policy.decoder, renderer.stop_ids, decode=renderer.decode), renderer)
        for is_student, policy, renderer in (
            (True, student.policy, student.renderer), (False, teacher, renderer_of(teacher, run))
        )
    }  # fmt: skip

    def write(examples: list[Example], step: int, is_on_policy: bool) -> Feed:
        engine, renderer = writers[is_on_policy]
        groups = collect(
            engine, renderer, examples, zero_shot, accuracy, num_samples=1, sampling=sampling,
            seed=key64(run.seed, "kd-completions", step), ledger=run.ledger,
        )  # fmt: skip
        if is_on_policy:
            fresh = [replace(plain_document(r), weights={"cross_entropy": 0.0}) for g in groups for r in g.rollouts]
        else:
            fresh = rewritten(student.renderer, groups, keep)
        return Feed(fresh, {"on_policy": float(is_on_policy), **figures(groups)})

    return write


def _on_texts(trainee: Trainee, run: Run, keep: Keep, epochs: float | None, batch_documents: int) -> Artifact:
    """Train by cross-entropy on the texts of the run's teacher, a file."""
    documents, counts = _texts(trainee.renderer, load_task(run.task).take("train"), keep, Path(str(run.teacher)))
    run.notify({"texts": counts})
    indices = in_epochs(len(documents), batch_documents, run.seed, "kd-order", epochs)

    def producer(step: int, progress: float) -> Feed | None:
        chosen = indices(step)
        return None if chosen is None else Feed([documents[i] for i in chosen])

    num_steps = steps_of(len(documents), batch_documents, epochs)
    return train_and_save(trainee, run, [Term(cross_entropy)], producer, num_steps=num_steps, texts=counts)


def rewritten(renderer: Renderer, groups: Sequence[Group], keep: Keep = "all") -> list[Document]:
    """What a teacher wrote to its end, as the student is asked and answers: the two may have different chat templates."""
    return [
        renderer.document(zero_shot(group.example), rollout.text)
        for group in groups
        for rollout in group.rollouts
        if rollout.finish == "stop" and (keep == "all" or rollout.verdict.correct)
    ]


def _texts(
    renderer: Renderer, examples: list[Example], keep: Keep, path: Path
) -> tuple[list[Document], dict[str, float]]:
    """The teacher's texts for prompts of the training split, and how many of the file's are left out, and why."""
    found, counts = read_texts(path, examples, keep)
    return [renderer.document(zero_shot(example), text) for example, text in found], counts


def _check_vocabularies(student: Policy, teacher: Policy) -> None:
    """The KL compares probabilities of ids: each id must be the same string in both."""
    ours, theirs = student.tokenizer.get_vocab(), teacher.tokenizer.get_vocab()
    if any(theirs.get(token, index) != index for token, index in ours.items()) or len(ours.keys() - theirs.keys()) > 0:
        raise RecipeError(
            f"stage kd: teacher {teacher.path.name} and student {student.path.name} have different tokenizers, so their "
            "probabilities cannot be compared token by token. Distil through text: give a file of the teacher's texts "
            "(columns prompt and completion) as teacher."
        )
