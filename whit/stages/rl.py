"""Reinforcement learning with verifiable rewards: sample groups, judge them, push up what did better than its group."""

from typing import Annotated

from pydantic import Field

from whit.algorithms._types import Algorithm
from whit.core.rundir import Run
from whit.core.types import Artifact
from whit.data.batch import Document
from whit.generation.sampler import Sampling
from whit.models.adapters import Lora
from whit.rollouts.credit import Correction
from whit.stages._checks import require_plain
from whit.stages._own import PartSpec, made_curriculum, made_part, made_reward, made_shapings
from whit.stages._reference import KL, Reference
from whit.stages._rollouts import Rollouts, more_terms
from whit.stages._setup import set_up, train_and_save
from whit.stages._task import load_task
from whit.training.entropy_target import EntropyKeeper, EntropyTarget
from whit.training.loop import Feed
from whit.training.optim import Optim
from whit.training.signals import Forward


def rl(
    start: Artifact,
    run: Run,
    *,
    algorithm: PartSpec = "grpo",
    reward: PartSpec = "accuracy",
    shaping: PartSpec | tuple[PartSpec, ...] = (),
    curriculum: PartSpec = "epochs",
    prompts_per_step: Annotated[int, Field(gt=0)] = 16,
    sampling: Sampling = Sampling(),
    kl: KL = KL(),
    entropy: Annotated[float, Field(ge=0)] | EntropyTarget = 0.0,
    top_entropy: Annotated[float, Field(gt=0, le=1)] = 1.0,
    correction: Correction | None = None,
    optim: Optim = Optim(schedule="constant", warmup=0.0),
    lora: Lora | None = None,
    max_tokens: Annotated[int, Field(ge=0)] = 0,
    max_rows: int = 128,
    recompute: bool = False,
) -> Artifact:
    """Maximise the expected reward on the training split until the budget is spent.

    algorithm, reward, shaping, curriculum: a part's name, or a table {name = ..., its settings}; of shapings also a list.
    prompts_per_step: of each `group_size` completions are sampled for one batch: with fewer, a step is cheaper and noisier.
    kl: the price of leaving the reference.
    entropy: weight of a bonus for it, or a table {target = ...} that keeps the entropy up, see `EntropyTarget`.
    top_entropy: only this share of a batch's tokens, those of highest entropy, has an advantage (arXiv:2506.01939: 0.2).
    correction: for a sampler whose log-probabilities differ from the trainer's; here both run the same weights, and
        `mismatch` beside the loss says how far rounding takes them apart.
    max_tokens: of a micro-batch in training; 0 plans them by the memory that there is. The result is the same.
    max_rows: completions sampled at once; it bounds memory and cannot change the result beyond rounding.
    recompute: keep few activations and compute them again for the gradient: less memory, a third more time.
    Raises RecipeError for greedy or truncated sampling: log-probabilities of the trainer are those of plain sampling.
    """
    require_plain(sampling, "rl", run.where)
    method: Algorithm = made_part("algorithm", algorithm)()
    examples = load_task(run.task).take("train")
    trainee = set_up(
        start,
        run,
        "rl",
        optim,
        lora,
        max_tokens=max_tokens,
        recompute=recompute,
        head_factor=method.critic.head_factor if method.critic else None,
    )
    decoder = trainee.policy.decoder
    reference = Reference(start, run, decoder, kl, is_lora=lora is not None) if kl.weight else None
    rollouts = Rollouts(
        method, made_reward(reward, f"{run.where}.reward"), examples, decoder, trainee.renderer, run,
        made_curriculum(curriculum, examples, run.seed, f"{run.where}.curriculum"), prompts_per_step,
        sampling.within(run.max_new_tokens), max_rows, kl, shapings=made_shapings(shaping, f"{run.where}.shaping"),
        correction=correction, top_entropy=top_entropy, reference=reference, values=trainee.values,
    )  # fmt: skip
    shared: dict[int, tuple[list[Document], dict[str, float]]] = {}

    def producer(step: int, progress: float) -> Feed | None:
        batch, part = divmod(step, method.num_updates)
        if batch not in shared:
            shared.clear()
            shared[batch] = rollouts.batch(batch)[1:]
        documents, numbers = shared[batch]
        return Feed(documents[part :: method.num_updates], numbers, ends_round=part == method.num_updates - 1)

    controllers = rollouts.controllers
    if isinstance(entropy, EntropyTarget):
        controllers.append(keeper := EntropyKeeper(entropy))
        terms = more_terms(method.terms, kl, keeper.coefficient)
    else:
        terms = more_terms(method.terms, kl, entropy)
    forward = Forward(decoder, temperature=sampling.temperature, values=trainee.values)
    return train_and_save(
        trainee, run, terms, producer,
        forward=forward, by_reward=True, controllers=controllers,
    )  # fmt: skip
