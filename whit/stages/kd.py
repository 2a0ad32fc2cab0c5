"""Knowledge distillation from live teachers, from a cache of their logits, or from a file of their texts.

A live teacher scores the tokens that the student trains on: by default forward KL over the whole vocabulary, mixed with
cross-entropy (arXiv:1503.02531); every objective of `whit parts objective` that names a teacher's signal takes its place.
"""

from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from whit.core.errors import DataError, RecipeError, TemplateError
from whit.core.rundir import Run
from whit.core.seeds import key64
from whit.core.types import Artifact, Example, Group
from whit.data.batch import Document
from whit.data.render import Renderer
from whit.data.teacher_cache import TeacherCache
from whit.generation.engine import Engine
from whit.generation.sampler import Sampling
from whit.models.adapters import Lora
from whit.models.load import Policy
from whit.objectives._types import Term
from whit.prompting.zero_shot import zero_shot
from whit.rewards.accuracy import accuracy
from whit.rollouts.batches import plain_document
from whit.rollouts.collect import collect, figures
from whit.stages._checks import check_kd
from whit.stages._from_texts import distil_from_texts, terms_of_texts
from whit.stages._model import model_shape, renderer_of
from whit.stages._policy import BatchPolicy, Written, ignored_terms, validation
from whit.stages._setup import Trainee, gold_documents, in_epochs, set_up, steps_of, train_and_save
from whit.stages._task import TaskData, is_file, load_task
from whit.stages._teachers import (
    OTHER_TOKENS,
    SAME_TOKENS,
    Alignment,
    Asked,
    TeacherSpec,
    asks,
    is_cache,
    kept_teacher,
    live_teacher,
    load_teacher,
    open_cache,
    other_teacher,
    plain_documents,
    twins,
)
from whit.stages._terms import TermSpec, build_terms
from whit.stages._texts import Keep
from whit.stages._traces import load_traces
from whit.stages._transforms import Transforms, shows
from whit.training.interpolation import Interpolation, Interpolator
from whit.training.optim import Optim
from whit.training.replay import Replay, Replayer
from whit.training.signals import Forward
from whit.training.teachers import Teacher

KL_AND_CROSS_ENTROPY = (
    TermSpec(objective="forward_kl", weight=0.5),  # the balance of DistillKit's default
    TermSpec(objective="cross_entropy", weight=0.5),
)
Text = Literal["given", "teacher", "traces"]


def kd(
    start: Artifact,
    run: Run,
    *,
    text: Text | None = None,
    terms: tuple[TermSpec, ...] = KL_AND_CROSS_ENTROPY,
    on_policy: Annotated[float, Field(ge=0, le=1)] = 0.0,
    replay: Replay | None = None,
    pairs: bool = False,
    teachers: tuple[TeacherSpec, ...] = (),
    cached: bool = False,
    alignment: Alignment = "bytes",
    hidden_layers: tuple[tuple[int, int], ...] = (),
    interpolation: Interpolation = Interpolation(),
    epochs: Annotated[float, Field(gt=0)] | None = None,
    batch_documents: Annotated[int, Field(gt=0)] = 32,
    sampling: Sampling = Sampling(),
    optim: Optim = Optim(),
    lora: Lora | None = None,
    max_tokens: Annotated[int, Field(ge=0)] = 0,
    recompute: bool = False,
    keep: Keep = "all",
    transform: Transforms = (),
) -> Artifact:
    """Minimise the terms, by default half cross-entropy and half forward KL to the run's teacher.

    text: what the losses are taken on off-policy: "given" rationales, completions that the "teacher" writes as the stage
        goes (charged), in the student's chat template, without those cut off, or the "traces" that the stage before made.
        None takes the rationales where the task has them.
    on_policy: share of the steps taken on fresh completions of the student (GKD's lambda; its default is 0.5). There
        cross-entropy is left out: the label is the student's own sample. Terms with on = "student" act only there.
    replay: asks for the student's text as DistiLLM does, when the validation loss rises, and takes it again later.
    pairs: each example gives two documents, its text and the student's completion of it, as in DistiLLM-2.
    teachers: further ones, { model = ..., weight = ... }; the run's own has the weight 1. Their distributions are mixed,
        then compared.
    cached: take the teacher's probabilities from the cache that the stage before made, instead of asking it.
    alignment: how a teacher of another tokenizer is compared: where tokens end at the same "bytes", or by "index".
    hidden_layers: pairs of layers, student's and teacher's, whose states hidden_mse and hidden_cosine compare.
    interpolation: the schedule of the objective taid.
    transform: what a step does to texts that are given, see the stage `sft`; a teacher reads them as they are.
    keep: "correct" trains on the teacher's texts that the task's verifier accepts, and leaves out the others.
    A teacher that is a JSONL or CSV file (columns prompt and completion) is trained on as text, whatever its tokenizer.
    Rows whose column `finish` says "length" were cut off and are left out. What its texts cost to write is not charged: the
    user has them. Where the rows say it, it stands in the price from nothing.
    Raises RecipeError when there is no teacher, when it writes other tokens than the student and a term compares them, and
    for settings that exclude one another.
    """
    if not run.teacher:
        raise RecipeError("stage kd: there is no teacher. Set teacher = a model directory, or a file of its texts.")
    loss = build_terms(terms)
    if is_file(run.teacher):
        if on_policy or replay or pairs or text or teachers:
            raise RecipeError(
                f"stage kd: teacher {run.teacher} is a file of texts, which writes nothing and scores nothing: text, "
                "on_policy, replay, pairs and teachers have no use. Leave them out, or give a teacher model."
            )
        loss = terms_of_texts(run, loss, is_default=terms == KL_AND_CROSS_ENTROPY)
        trainee = set_up(
            start, run, "kd", optim, lora, max_tokens=max_tokens, recompute=recompute, masks=bool(transform)
        )
        show = shows(transform, trainee.policy, run, loss)
        return distil_from_texts(trainee, run, loss, keep, epochs, batch_documents, show)
    is_cached = cached or is_cache(Path(str(run.teacher)))
    task = load_task(run.task)
    if text is None:
        text = "given" if task.has_rationales else "teacher"
    chosen = {"terms": terms, "text": text, "on_policy": on_policy, "replay": replay, "pairs": pairs, "teachers": teachers,
              "cached": cached, "alignment": alignment, "hidden_layers": hidden_layers, "interpolation": interpolation,
              "keep": keep}  # fmt: skip
    check_kd(chosen, before=None, teacher=str(run.teacher))
    hidden = (len(hidden_layers), model_shape(str(run.teacher)).width) if hidden_layers else None
    trainee = set_up(
        start, run, "kd", optim, lora, max_tokens=max_tokens, recompute=recompute, hidden=hidden, masks=bool(transform)
    )
    policies = (
        [] if is_cached else [load_teacher(name, run) for name in (str(run.teacher), *(t.model for t in teachers))]
    )
    _check_layers(trainee.policy, policies, hidden_layers)
    cache = open_cache(start, run, trainee.renderer, is_beside=cached) if is_cached else None
    teacher, attach = _asked_how(
        trainee, run, loss, policies, [1.0, *(t.weight for t in teachers)], cache, alignment, hidden_layers
    )
    texts = _Texts(start, trainee, policies[0] if policies else None, run, task, text, sampling, keep)
    counts = texts.only(cache) if cache else None
    replayer = Replayer(replay) if replay else None
    dev = _dev_documents(trainee, task, replay) if replay else []
    policy = BatchPolicy(
        run, in_epochs(len(texts.examples), batch_documents, run.seed, "kd-order", epochs), texts.data, texts.student,
        attach, ignored_terms(loss, terms), on_policy, replayer, pairs, validation(trainee, run, dev),
        shows(transform, trainee.policy, run, loss),
    )  # fmt: skip
    interpolator = Interpolator(interpolation) if asks(loss, frozenset({"interpolation"})) else None
    forward = Forward(
        trainee.policy.decoder, teacher, layers=tuple(own for own, _ in hidden_layers), projections=trainee.projections,
        interpolation=(lambda: interpolator.value) if interpolator else None,
    )  # fmt: skip
    return train_and_save(
        trainee, run, loss, policy, num_steps=steps_of(len(texts.examples), batch_documents, epochs), forward=forward,
        controllers=[controller for controller in (replayer, interpolator) if controller], texts=counts or {},
    )  # fmt: skip


class _Texts:
    """What the losses can be taken on: by the index of an example, at a step.

    examples: those that indices point to; of traces, that of each.
    """

    def __init__(
        self, start: Artifact, trainee: Trainee, teacher: Policy | None, run: Run, task: TaskData, text: Text,
        sampling: Sampling, keep: Keep,
    ):  # fmt: skip
        self.trainee, self.teacher, self.run, self.keep = trainee, teacher, run, keep
        self.sampling = sampling.within(run.max_new_tokens)
        self.examples, self.given = _given(start, trainee, task, text)
        self.engines: dict[bool, tuple[Engine, Renderer]] = {}

    def only(self, cache: TeacherCache) -> dict[str, int]:
        """Leave out the texts that the cache lacks, and count them. Raises DataError when it has none of them."""
        pairs = [pair for pair in zip(self.examples, self.given, strict=True) if cache.has(pair[1][1])]
        counts = {"kept": len(pairs), "not_in_the_cache": len(self.given) - len(pairs)}
        if not pairs:
            raise DataError(
                f"{cache.path} holds none of the {len(self.given)} texts that this stage trains on. Make it with the same "
                "task, template and student (`whit cache`, or the stage `cache` before this one)."
            )
        self.examples, self.given = [e for e, _ in pairs], [asked for _, asked in pairs]
        if counts["not_in_the_cache"]:
            self.run.notify({"texts": counts})
        return counts

    def data(self, chosen: list[int], step: int) -> Written:
        """The text that was given, or that the teacher writes now."""
        if self.given:
            return [self.given[i] for i in chosen], {}
        groups = self._write(chosen, step, is_student=False)
        found = rewritten(self.trainee.renderer, groups, self.keep)
        return found, {**figures(groups), "left_out": float(sum(len(g.rollouts) for g in groups) - len(found))}

    def student(self, chosen: list[int], step: int) -> Written:
        """What the student writes now."""
        groups = self._write(chosen, step, is_student=True)
        fresh: list[Asked] = [(zero_shot(group.example), plain_document(r)) for group in groups for r in group.rollouts]
        return fresh, figures(groups)

    def _write(self, chosen: list[int], step: int, *, is_student: bool) -> list[Group]:
        if is_student not in self.engines:
            policy = self.trainee.policy if is_student else self.teacher
            assert policy is not None, "a stage without a teacher model has no text of a teacher"
            renderer = self.trainee.renderer if is_student else renderer_of(policy, self.run.template)
            self.engines[is_student] = (Engine(policy.decoder, renderer.stop_ids, decode=renderer.decode), renderer)
        engine, renderer = self.engines[is_student]
        # Once each: the same problem again would be answered by the same random numbers.
        problems = list({self.examples[i].id: self.examples[i] for i in chosen}.values())
        return collect(
            engine, renderer, problems, zero_shot, accuracy, num_samples=1, sampling=self.sampling,
            seed=key64(self.run.seed, "kd-completions", step), ledger=self.run.ledger,
        )  # fmt: skip


def _given(start: Artifact, trainee: Trainee, task: TaskData, text: Text) -> tuple[list[Example], list[Asked]]:
    """The examples that a stage goes through, and what is given for each; nothing where a teacher writes."""
    examples = task.take("train")
    if text == "teacher":
        return examples, []
    if text == "traces":
        by_id = {example.id: example for example in examples}
        every = load_traces(start, "kd")
        traces = [trace for trace in every if trace.id in by_id]
        if not traces:
            raise DataError(f"stage kd: none of the {len(every)} traces in {start.path} is of a problem of this task.")
        return [by_id[t.id] for t in traces], [(t.messages, t.document(trainee.renderer)) for t in traces]
    examples = [example for example in examples if example.rationale]
    if not examples:
        raise DataError('stage kd: no training example has a rationale. Use text = "teacher".')
    documents = gold_documents(trainee.renderer, examples, with_rationale=True)
    return examples, [(zero_shot(example), document) for example, document in zip(examples, documents, strict=True)]


def _check_layers(student: Policy, policies: Sequence[Policy], hidden_layers: Sequence[tuple[int, int]]) -> None:
    for own, other in hidden_layers:
        for name, policy, layer in (("student", student, own), ("teacher", policies[0], other)):
            count = len(policy.decoder.layers())
            if not -count <= layer < count:
                raise RecipeError(
                    f"stage kd: hidden_layers names layer {layer} of the {name}, which has {count}: 0 to {count - 1}, or "
                    "-1 for the last."
                )


def _asked_how(
    trainee: Trainee, run: Run, loss: Sequence[Term], policies: Sequence[Policy], weights: Sequence[float],
    cache: TeacherCache | None, alignment: Alignment, hidden_layers: Sequence[tuple[int, int]],
) -> tuple[Teacher | None, Callable[[Sequence[Asked]], list[Document]]]:  # fmt: skip
    """What makes the teacher's signals, and what gives documents what it needs with them."""
    if cache:
        return kept_teacher(cache, loss), lambda asked: cache.attach(plain_documents(asked))
    if asks(loss, OTHER_TOKENS):
        return other_teacher(trainee.policy, policies[0]), twins(trainee, policies[0], run, alignment)
    if asks(loss, SAME_TOKENS):
        layers = tuple(other for _, other in hidden_layers)
        return live_teacher(policies, weights, trainee.policy, layers), plain_documents
    return None, plain_documents  # a teacher that only writes does not score as well


def _dev_documents(trainee: Trainee, task: TaskData, replay: Replay) -> list[Document]:
    examples = task.take("dev", replay.items)
    return gold_documents(trainee.renderer, examples, with_rationale=any(e.rationale for e in examples))


def rewritten(renderer: Renderer, groups: Sequence[Group], keep: Keep = "all") -> list[Asked]:
    """What a teacher wrote to its end, as the student is asked and answers: the two may have different chat templates.

    A text that is longer than the student's context is left out.
    """
    found: list[Asked] = []
    for group in groups:
        messages = zero_shot(group.example)
        for rollout in group.rollouts:
            if rollout.finish != "stop" or (keep == "correct" and not rollout.verdict.correct):
                continue
            with suppress(TemplateError):
                found.append((messages, renderer.document(messages, rollout.text)))
    return found
