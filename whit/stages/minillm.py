"""Reverse KL by policy gradient on texts that student and teacher mix.  Source: MiniLLM, arXiv:2306.08543, and its code."""

import time
from dataclasses import replace
from functools import partial
from typing import Annotated

import torch
from pydantic import Field

from whit.algorithms._returns import returns_of, whitened
from whit.core.errors import RecipeError
from whit.core.rundir import Run
from whit.core.seeds import key64
from whit.core.types import Artifact, Example
from whit.data.batch import Document
from whit.generation.duet import Duet, Text
from whit.generation.rules import mixed
from whit.models.adapters import Lora
from whit.objectives._types import Term
from whit.objectives.clipped_surrogate import clipped_surrogate
from whit.objectives.cross_entropy import cross_entropy
from whit.objectives.reverse_kl import reverse_kl
from whit.prompting.zero_shot import zero_shot
from whit.stages._model import renderer_of
from whit.stages._setup import gold_documents, in_epochs, set_up, train_and_save
from whit.stages._task import load_task
from whit.stages._teachers import live_teacher, load_teacher
from whit.training.loop import Feed
from whit.training.optim import Optim
from whit.training.signals import Forward

# Terms that a document has no part in.
ROLLOUT, GOLD = {"cross_entropy": 0.0}, {"clipped_surrogate": 0.0, "reverse_kl": 0.0}


def minillm(
    start: Artifact,
    run: Run,
    *,
    prompts_per_step: Annotated[int, Field(gt=0)] = 32,
    num_updates: Annotated[int, Field(gt=0)] = 1,
    teacher_share: Annotated[float, Field(ge=0, lt=1)] = 0.2,
    gamma: Annotated[float, Field(ge=0, le=1)] = 1.0,
    clip: Annotated[float, Field(gt=0)] = 0.2,
    text_weight: Annotated[float, Field(ge=0)] = 1.0,
    optim: Optim = Optim(),
    lora: Lora | None = None,
    max_tokens: Annotated[int, Field(ge=0)] = 0,
    recompute: bool = False,
) -> Artifact:
    """Minimise KL(student || teacher) over completions, exactly at each token and by policy gradient for what follows.

    teacher_share: of the teacher in the mixture that texts are drawn from; importance weights put it right.
    num_updates: on the same texts; the code makes 4. gamma: how far a token answers for what follows it.
    text_weight: of cross-entropy on the task's worked solutions, which stand for the plain text of the paper; without
        solutions, or with 0, there is none.
    The paper's 5,000 iterations of 256 texts, at a learning rate of 5e-6, are for 100M to 7B models: see docs/LOG.md.
    Both models' operations are charged. Raises RecipeError when there is no teacher, or one of other tokens.
    """
    if not run.teacher:
        raise RecipeError("stage minillm: there is no teacher. Set teacher = a model directory.")
    task = load_task(run.task)
    examples = task.take("train")
    trainee = set_up(start, run, "kd", optim, lora, max_tokens=max_tokens, recompute=recompute)
    policy = load_teacher(str(run.teacher), run)
    teacher = live_teacher([policy], [1.0], trainee.policy, ())
    renderer, other = trainee.renderer, renderer_of(policy, run.template)
    duet, rule = Duet(trainee.policy.decoder, policy.decoder, renderer.stop_ids), mixed(teacher_share)
    gold: list[Document] = []
    if text_weight and task.has_rationales:
        given = [example for example in examples if example.rationale]
        gold = [_gold(d) for d in gold_documents(renderer, given, with_rationale=True)]
    indices = in_epochs(len(examples), prompts_per_step, run.seed, "minillm-order", None)
    gold_indices = in_epochs(max(1, len(gold)), prompts_per_step, run.seed, "minillm-text", None)
    shared: dict[int, tuple[list[Document], dict[str, float]]] = {}

    def sample(batch: int) -> tuple[list[Document], dict[str, float]]:
        chosen: list[Example] = [examples[i] for i in dict.fromkeys(indices(batch) or [])]
        prompts = [(renderer.prompt(zero_shot(e)), other.prompt(zero_shot(e))) for e in chosen]
        started = time.perf_counter()
        groups = duet.write(
            prompts, rule, max_new_tokens=run.max_new_tokens, seed=key64(run.seed, "minillm", batch),
            keys=[e.id for e in chosen],
        )  # fmt: skip
        duet.charge(run.ledger, prompts, groups, time.perf_counter() - started)
        texts = [text for group in groups for text in group]
        documents = _rollouts([own for own, _ in prompts], texts, gamma)
        count = max(1, len(texts))
        numbers = {
            "completion_tokens": sum(len(text.ids) for text in texts) / count,
            "truncated": sum(text.finish == "length" for text in texts) / count,
        }
        more = [gold[i] for i in dict.fromkeys(gold_indices(batch) or [])] if gold else []
        return [*documents, *more], numbers

    def producer(step: int, progress: float) -> Feed | None:
        batch, part = divmod(step, num_updates)
        if batch not in shared:
            shared.clear()
            shared[batch] = sample(batch)
        documents, numbers = shared[batch]
        return Feed(documents, numbers, ends_round=part == num_updates - 1)

    terms = [Term(partial(clipped_surrogate, clip=clip)), Term(reverse_kl)]
    if gold:
        terms.append(Term(cross_entropy, weight=text_weight))
    return train_and_save(trainee, run, terms, producer, forward=Forward(trainee.policy.decoder, teacher))


def _rollouts(prompts: list[list[int]], texts: list[Text], gamma: float) -> list[Document]:
    """One document a text: advantages are whitened returns, and old_logprobs those of the mixture it was drawn from."""
    both = [(torch.tensor(text.student_logprobs), torch.tensor(text.teacher_logprobs)) for text in texts]
    returns = [returns_of(student_T, teacher_T, gamma=gamma) for student_T, teacher_T in both]
    return [
        Document(
            ids=[*prompt, *text.ids], spans=((len(prompt), len(prompt) + len(text.ids)),), weights=ROLLOUT,
            recorded={"advantages_T": advantages_T.tolist(), "old_logprobs_T": text.logprobs},
        )
        for prompt, text, advantages_T in zip(prompts, texts, whitened(returns), strict=True)
    ]  # fmt: skip


def _gold(document: Document) -> Document:
    """A worked solution beside rollouts: what is recorded of these is recorded of it too, and has no weight."""
    nothing = [0.0] * document.num_supervised
    return replace(document, weights=GOLD, recorded={"advantages_T": nothing, "old_logprobs_T": nothing})
