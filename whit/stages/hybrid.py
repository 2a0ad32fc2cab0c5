"""Reinforcement learning and supervised learning in one stage: both at every step, in turn, or text where a group fails.

The comparison to make is with `sft` and then `rl` at the same budget: arXiv:2604.23747 finds that published gains of mixed
policies over that came from faulty baselines.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Annotated, Any, Literal

from pydantic import Field

from whit.algorithms._advantages import group_relative
from whit.algorithms._types import Algorithm
from whit.core.errors import RecipeError
from whit.core.rundir import Run
from whit.core.seeds import stream
from whit.core.types import Artifact, Group
from whit.data.batch import Document
from whit.generation.sampler import Sampling
from whit.models.adapters import Lora
from whit.objectives._types import Term
from whit.objectives.cross_entropy import cross_entropy
from whit.objectives.mixed_policy import mixed_policy
from whit.prompting.zero_shot import zero_shot
from whit.rollouts.collect import Reward
from whit.stages._checks import require_plain
from whit.stages._own import PartSpec, made_curriculum, made_part, made_reward, solutions
from whit.stages._reference import KL, Reference
from whit.stages._rollouts import Rollouts, more_terms
from whit.stages._setup import in_epochs, set_up, train_and_save
from whit.stages._task import load_task
from whit.stages._transforms import Transforms, shows
from whit.training.entropy_ratio import EntropyRatio
from whit.training.loop import Controller, Feed
from whit.training.optim import Optim
from whit.training.signals import Forward
from whit.verifiers._judge import judge

Mix = Literal["both", "alternate", "fallback", "red"]


def hybrid(
    start: Artifact,
    run: Run,
    *,
    mix: Mix = "both",
    weight: tuple[float, float] | float = 0.1,
    supervised_share: Annotated[float, Field(gt=0, lt=1)] = 0.5,
    form: str = "rationale",
    transform: Transforms = (),
    batch_documents: Annotated[int, Field(gt=0)] = 16,
    algorithm: PartSpec = "grpo",
    reward: PartSpec = "accuracy",
    curriculum: PartSpec = "epochs",
    prompts_per_step: Annotated[int, Field(gt=0)] = 16,
    sampling: Sampling = Sampling(),
    kl: KL = KL(),
    entropy_decay: Annotated[float, Field(ge=0, lt=1)] = 0.9,
    optim: Optim = Optim(schedule="constant", warmup=0.0),
    lora: Lora | None = None,
    max_tokens: Annotated[int, Field(ge=0)] = 0,
    max_rows: int = 128,
    recompute: bool = False,
) -> Artifact:
    """Maximise the expected reward and imitate the training split's solutions until the budget is spent.

    mix: "both" adds `batch_documents` solutions to every step of RL; "alternate" makes a share of the steps supervised;
        "fallback" adds the solution of a prompt whose completions all failed; "red" puts it into every group as one more
        completion (arXiv:2508.16677), whose advantage is multiplied by how much faster its entropy falls than the policy's
        own; the loss is `mixed_policy` with the sum over tokens, over `algorithm`'s constant_length or 256.
    weight: of cross-entropy beside the surrogate; two numbers go from one to the other over the budget. "red" has none.
    supervised_share: of the steps, for "alternate". form, transform: of the solutions, see the stage `sft`; "red" has none.
    entropy_decay: of the moving averages of entropies, for "red".
    algorithm, reward, curriculum, prompts_per_step, sampling, kl, max_tokens, max_rows, recompute: see the stage `rl`; the
        algorithm makes one update a batch and has no critic.
    Raises RecipeError for sampling that is not plain, and DataError where no solution is given.
    """
    require_plain(sampling, "hybrid", run.where)
    method = _method(algorithm, mix, kl)
    examples = load_task(run.task).take("train")
    taught, left_out = solutions(examples, form)
    trainee = set_up(start, run, "rl", optim, lora, max_tokens=max_tokens, recompute=recompute, masks=bool(transform))
    decoder = trainee.policy.decoder
    rollouts = Rollouts(
        method, made_reward(reward, f"{run.where}.reward"), examples, decoder, trainee.renderer, run,
        made_curriculum(curriculum, examples, run.seed, f"{run.where}.curriculum"), prompts_per_step,
        sampling.within(run.max_new_tokens), max_rows, kl,
        reference=Reference(start, run, decoder, kl, is_lora=lora is not None) if kl.weight else None,
    )  # fmt: skip
    texts = {example.id: trainee.renderer.document(zero_shot(example), text) for example, text in taught}
    indices = in_epochs(len(taught), batch_documents, run.seed, "hybrid-text", None)
    ratio = EntropyRatio(most=float(method.group_size), decay=entropy_decay)
    terms = more_terms(method.terms, kl)
    ignoring = {term.name: 0.0 for term in terms}  # a solution has no part in what is taken on rollouts
    written = {example.id: text for example, text in taught}
    more_of = partial(_given, texts=texts, written=written, reward=rollouts.reward) if mix == "red" else None

    show = shows(transform, trainee.policy, run, [Term(cross_entropy)])

    def supervised(step: int) -> list[Document]:
        chosen, _ = show([texts[taught[i][0].id] for i in indices(step) or []], step)
        return [replace(document, weights={**document.weights, **ignoring}) for document in chosen]

    def producer(step: int, progress: float) -> Feed | None:
        if mix == "alternate" and stream(run.seed, "hybrid-turn", step).random() < supervised_share:
            return Feed(supervised(step), {"supervised": 1.0})
        groups, documents, numbers = rollouts.batch(step, more_of)
        if mix == "red":
            return Feed(*_recalled(documents, numbers, ratio.ratio))
        own = [replace(document, weights={"cross_entropy": 0.0}) for document in documents]
        more: list[Document] = []
        if mix == "both":
            more = supervised(step)
        elif mix == "fallback":
            failed = [g.example.id for g in groups if not any(r.verdict.correct for r in g.rollouts)]
            given, _ = show([texts[name] for name in failed if name in texts], step)
            more = [replace(document, weights={**document.weights, **ignoring}) for document in given]
            numbers["fallbacks"] = float(len(more))
        return Feed([*own, *_beside(more, own)], {**numbers, "supervised": 0.0})

    if mix != "red":
        ends = weight if isinstance(weight, tuple) else (weight, weight)
        terms = (*terms, Term(cross_entropy, weight=lambda progress: ends[0] + progress * (ends[1] - ends[0])))
    controllers: list[Controller] = [*rollouts.controllers, *([ratio] if mix == "red" else [])]
    return train_and_save(
        trainee, run, terms, producer, forward=Forward(decoder, temperature=sampling.temperature),
        by_reward=True, controllers=controllers, left_out=left_out,
    )  # fmt: skip


def _method(algorithm: PartSpec, mix: Mix, kl: KL) -> Algorithm:
    """The algorithm of a mixed stage. Raises RecipeError for one that does not mix."""
    method: Algorithm = made_part("algorithm", algorithm)()
    if method.num_updates > 1 or method.critic is not None or method.above is not None:
        raise RecipeError(
            "stage hybrid: one update a batch and no critic, and no algorithm that imitates. Set num_updates = 1, or use "
            "the stage rl."
        )
    if mix != "red":
        return method
    if kl.place == "reward" and kl.weight:
        raise RecipeError(
            'stage hybrid: mix = "red" takes no price from the reward, which given text would pay. Use kl.place = "loss".'
        )
    return _red(method.group_size, next((t.constant_length for t in method.terms if t.reduction == "constant"), 256))


def _red(group_size: int, length: int) -> Algorithm:
    """The code's: the deviation of the group with its given text, no clip, sums over a constant length."""
    return Algorithm(group_size, group_relative, (Term(mixed_policy, reduction="constant", constant_length=length),))


def _given(
    groups: Sequence[Group], *, texts: Mapping[str, Document], written: Mapping[str, str], reward: Reward
) -> list[Document]:
    """The solution of each group's prompt as one more of its rollouts; one that the verifier refuses is left out."""
    found = []
    for number, group in enumerate(groups):
        text = written.get(group.example.id)
        if text is not None and (verdict := judge(text, group.example)).correct:
            found.append(_as_rollout(texts[group.example.id], float(number), reward(verdict, text)))
    return found


def _as_rollout(text: Document, group: float, reward: float) -> Document:
    facts = {"group_N": group, "reward_N": reward, "is_right_N": 1.0, "is_truncated_N": 0.0, "is_given_N": 1.0}
    return replace(text, facts=facts, recorded={"rollout_logprobs_T": [float("nan")] * text.num_supervised})


def _recalled(
    documents: Sequence[Document], numbers: dict[str, float], ratio: float
) -> tuple[list[Document], dict[str, float]]:
    """With `pass_rate_T`, and the advantages of given texts times the ratio; groups without a signal are left out."""
    right: dict[float, list[float]] = {}
    has_signal = set()
    for document in documents:
        group = document.facts["group_N"]
        if not document.facts.get("is_given_N"):
            right.setdefault(group, []).append(document.facts["is_right_N"])
        if any(document.recorded["advantages_T"]):
            has_signal.add(group)
    made, given = [], 0
    for document in documents:
        group, size = document.facts["group_N"], document.num_supervised
        if group not in has_signal:
            continue
        advantages, rate = [float(a) for a in document.recorded["advantages_T"]], -1.0
        if document.facts.get("is_given_N"):
            own = right.get(group, [0.0])
            rate, given = sum(own) / len(own), given + size
            advantages = [ratio * a for a in advantages]
        recorded: dict[str, Any] = {**document.recorded, "advantages_T": advantages, "pass_rate_T": [rate] * size}
        made.append(replace(document, facts={"group_N": group}, recorded=recorded))
    total = sum(document.num_supervised for document in made)
    return made, {**numbers, "given_share": given / max(1, total), "supervised": 0.0}


def _beside(texts: Sequence[Document], rollouts: Sequence[Document]) -> list[Document]:
    """Solutions with room for all that is recorded of the rollouts that they share a batch with."""
    if not rollouts:
        return list(texts)
    names, facts = rollouts[0].recorded, dict.fromkeys(rollouts[0].facts, 0.0)
    absent = {name: float("nan") if name == "rollout_logprobs_T" else 0.0 for name in names}
    return [
        replace(t, recorded={name: [value] * t.num_supervised for name, value in absent.items()}, facts=facts)
        for t in texts
    ]
