"""Reinforcement learning with verifiable rewards: sample groups, judge them, push up what did better than its group."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Annotated, Any

import torch
from pydantic import Field

from whit.algorithms._types import Algorithm
from whit.core.errors import RecipeError
from whit.core.flops import forward_flops
from whit.core.ledger import Purpose
from whit.core.parts import bind, inputs
from whit.core.rundir import Run
from whit.core.seeds import key64
from whit.core.types import Artifact
from whit.data.batch import Document, collate
from whit.data.sharing import micro_batches, work
from whit.generation.engine import Engine
from whit.generation.sampler import Sampling
from whit.models.adapters import Lora
from whit.models.causal import CausalLM
from whit.models.load import load_policy
from whit.prompting.zero_shot import zero_shot
from whit.rollouts.batches import to_documents
from whit.rollouts.collect import collect, figures
from whit.stages._setup import SCORED_TOKENS, in_epochs, set_up, train_and_save
from whit.stages._task import load_task
from whit.training.loop import Feed
from whit.training.optim import Optim
from whit.training.signals import Forward, score


def rl(
    start: Artifact,
    run: Run,
    *,
    algorithm: str | Mapping[str, Any] = "grpo",
    reward: str | Mapping[str, Any] = "accuracy",
    prompts_per_step: Annotated[int, Field(gt=0)] = 16,
    sampling: Sampling = Sampling(),
    optim: Optim = Optim(schedule="constant", warmup=0.0),
    lora: Lora | None = None,
    max_tokens: Annotated[int, Field(ge=0)] = 0,
    max_rows: int = 128,
    recompute: bool = False,
) -> Artifact:
    """Maximise the expected reward on the training split until the budget is spent.

    algorithm, reward: a part's name, or a table {name = ..., its settings}.
    max_rows: completions sampled at once; it bounds memory and cannot change the result beyond rounding.
    Raises RecipeError for greedy or truncated sampling: log-probabilities of the trainer are those of plain sampling.
    """
    if sampling.is_greedy or sampling.top_p < 1 or sampling.top_k:
        raise RecipeError(
            "stage rl: sampling needs temperature above 0, top_p = 1 and top_k = 0, as the ratio assumes."
        )
    sampling = sampling.within(run.max_new_tokens)
    method: Algorithm = _part("algorithm", algorithm)()
    score_reward = _part("reward", reward)
    examples = load_task(run.task).take("train")
    trainee = set_up(start, run, "rl", optim, lora, max_tokens=max_tokens, recompute=recompute)
    needs = {name for term in method.terms for name in inputs(term.objective)}
    reference = None
    if "reference_logprobs_T" in needs:
        reference = load_policy(start.path, dtype=run.dtype, device=run.device).decoder
    renderer, decoder = trainee.renderer, trainee.policy.decoder
    engine = Engine(decoder, renderer.stop_ids, decode=renderer.decode, max_rows=max_rows)
    indices = in_epochs(len(examples), prompts_per_step, run.seed, "rl-order", None)
    shared: dict[int, tuple[list[Document], dict[str, float]]] = {}

    def sample(batch: int) -> tuple[list[Document], dict[str, float]]:
        # Once each: a prompt that comes twice, in a small data set, would get the same completions again.
        chosen = [examples[i] for i in dict.fromkeys(indices(batch) or [])]
        groups = collect(
            engine, renderer, chosen, zero_shot, score_reward, num_samples=method.group_size, sampling=sampling,
            seed=key64(run.seed, "rl-rollouts", batch), ledger=run.ledger,
        )  # fmt: skip
        documents, dropped = to_documents(groups, method)
        if reference is not None:
            documents = _record("reference_logprobs_T", "reference", reference, documents, run, sampling)
        if method.num_updates > 1:
            documents = _record("old_logprobs_T", "prepass", decoder, documents, run, sampling)
        return documents, {**figures(groups), "dropped_groups": float(dropped)}

    def producer(step: int, progress: float) -> Feed | None:
        batch, part = divmod(step, method.num_updates)
        if batch not in shared:
            shared.clear()
            shared[batch] = sample(batch)
        documents, numbers = shared[batch]
        return Feed(documents[part :: method.num_updates], numbers, ends_round=part == method.num_updates - 1)

    forward = Forward(decoder, temperature=sampling.temperature)
    return train_and_save(trainee, run, method.terms, producer, forward=forward, by_reward=True)


def _record(
    name: str,
    purpose: Purpose,
    decoder: CausalLM,
    documents: list[Document],
    run: Run,
    sampling: Sampling,
) -> list[Document]:
    """Score the documents once without gradient and write the log-probabilities of their supervised tokens on them."""
    if not documents:
        return documents
    scored = list(documents)
    device = next(decoder.parameters()).device
    with run.ledger.timed(purpose):
        for members in micro_batches(documents, SCORED_TOKENS):
            batch = collate([documents[i] for i in members], device)
            lp_T, _ = score(decoder, batch, sampling.temperature)
            parts = torch.split(lp_T.cpu(), [documents[i].num_supervised for i in members])
            for index, part in zip(members, parts, strict=True):
                scored[index] = replace(documents[index], recorded={**documents[index].recorded, name: part.tolist()})
    tokens, rows, pairs = work(documents)
    run.ledger.charge(purpose, flops=forward_flops(decoder.config.shape, tokens, rows, pairs), tokens=tokens)
    return scored


def _part(kind: str, spec: str | Mapping[str, Any]) -> Any:
    settings = {"name": spec} if isinstance(spec, str) else dict(spec)
    return bind(kind, str(settings.pop("name", "")), settings, f"stage rl, {kind}")
