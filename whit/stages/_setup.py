"""What every training stage does first: load the start model, its renderer and optimizer; and what it does last."""

import json
import math
import shutil
from collections.abc import Callable, Sequence
from copy import deepcopy
from dataclasses import dataclass, replace
from pathlib import Path

from whit.core.answers import completion_text
from whit.core.errors import CollapseError, DataError
from whit.core.parts import find
from whit.core.rundir import Run, read_metrics, saving, snapshot
from whit.core.seeds import key64, stream
from whit.core.types import Artifact, Example
from whit.data.batch import Document, collate
from whit.data.render import Renderer
from whit.data.sharing import micro_batches
from whit.models.adapters import Lora, add_lora, merge_lora, save_lora
from whit.models.causal import CausalLM
from whit.models.compiled import compile_layers
from whit.models.load import Policy, load_policy
from whit.models.mask_token import add_mask_token
from whit.objectives._types import Term
from whit.prompting.zero_shot import zero_shot
from whit.stages._defaults import peak_lr
from whit.stages._model import renderer_of
from whit.training.collapse import collapse, without_schedules
from whit.training.guards import Guards
from whit.training.guide import Guide
from whit.training.layers import Projections
from whit.training.loop import Controller, Producer, train
from whit.training.memory import Memory, plan_memory
from whit.training.optim import Optim, Optimizer
from whit.training.signals import Forward, score
from whit.training.values import ValueHead

NUM_WATCHED = 64
SCORED_TOKENS = 4096  # at once, without gradient: more are no faster
NO_RATIONALE = (
    "no training example has a rationale. Use the recipe sft-answers or sft-own; in a recipe of your own, "
    'source = "answers" or source = "own".'
)


@dataclass
class Trainee:
    """A policy about to be trained. max_tokens: of a micro-batch; 0 leaves them to the plan of memory.

    projections: of its hidden states to a teacher's width, where they are compared. values: the head of a critic.
    guide: the directions that they are compared with. memory: the plan of it, once training begins.
    """

    policy: Policy
    renderer: Renderer
    optimizer: Optimizer
    lora: Lora | None
    max_tokens: int
    projections: Projections | None = None
    values: ValueHead | None = None
    guide: Guide | None = None
    memory: Memory | None = None


def set_up(
    start: Artifact,
    run: Run,
    stage: str,
    optim: Optim,
    lora: Lora | None,
    *,
    max_tokens: int = 0,
    recompute: bool = False,
    hidden: tuple[int, int] | None = None,
    head_factor: float | None = None,
    guided: Callable[[Policy, Renderer], Guide] | None = None,
    masks: bool = False,
) -> Trainee:
    """Load the start model in the run's dtype, add adapters if asked, make the optimizer.

    stage: the row of the table of default learning rates.
    max_tokens: tokens of a micro-batch; 0 plans them by the memory that there is.
    recompute: gradient checkpointing: less memory, a third more time. Sequences that need it get it anyway.
    hidden: number of layers that are compared with a teacher's, and its width. head_factor: of a value
        head, or of a guide that is learned. guided: makes a guide of the policy that is to be trained.
    masks: whether the policy needs a mask token.
    """
    policy = load_policy(start.path, dtype=run.dtype, device=run.device)
    policy.decoder.recompute = recompute
    if masks:
        add_mask_token(policy)
    if lora is not None:
        add_lora(policy.decoder, lora, run.seed)
    lr = run.lr_factor * peak_lr(optim, stage, policy.decoder.config.shape, is_lora=lora is not None)
    renderer = renderer_of(policy, run.template)
    policy.stop_ids = tuple(sorted(renderer.stop_ids))
    projections = values = None
    guide = guided(policy, renderer) if guided is not None else None
    if head_factor is not None and guide is None:
        values = ValueHead(policy.decoder.config.shape.width, next(policy.decoder.parameters()).device)
    if hidden is not None:
        like, width = next(policy.decoder.parameters()), policy.decoder.config.shape.width
        projections = Projections(hidden[0], width, hidden[1], like, key64(run.seed, "projections"))
    optimizer = Optimizer(
        policy.decoder, optim, lr, beside=projections or values or guide, beside_factor=head_factor or 1.0
    )
    return Trainee(policy, renderer, optimizer, lora, max_tokens, projections, values, guide)


def train_and_save(
    trainee: Trainee, run: Run, terms: Sequence[Term], producer: Producer, *, num_steps: int | None = None,
    forward: Forward | None = None, by_reward: bool = False, watched: Sequence[Document] = (),
    controllers: Sequence[Controller] = (), **outcome: object,
) -> Artifact:  # fmt: skip
    """Run the loop and seal the artifact. A collapse is an outcome that is recorded.

    Of a loss that is not finite the weights before it are saved; of a reward that fell away, or a loss that rose, the last.
    forward: the models of a step, where there are more than the policy. controllers: see `training.loop.train`.
    by_reward: whether it is a reward that is maximised. watched: documents whose mean log-probability a token is recorded
        before and after, over the first NUM_WATCHED. outcome: what else the artifact's record says.
    """
    forward = forward or Forward(trainee.policy.decoder)
    outcome["peak_lr"] = trainee.optimizer.peak_lr
    rank = trainee.lora.rank if trainee.lora else 0
    trainee.memory, compiled = prepare(trainee.policy.decoder, trainee.optimizer, trainee.max_tokens, run)
    outcome |= compiled
    if watched:
        outcome["logprob_before"] = mean_logprob(trainee.policy.decoder, watched[:NUM_WATCHED])
    try:
        outcome["updates"] = train(
            forward, terms, producer, trainee.optimizer, run,
            memory=trainee.memory, num_steps=num_steps, lora_rank=rank, keep=lambda share: _keep(trainee, run, share),
            controllers=controllers,
        )  # fmt: skip
        lines = without_schedules(read_metrics(run.directory / "metrics.jsonl"), terms)
        if found := collapse(lines, [term.name for term in terms], by_reward=by_reward):
            outcome["collapsed"] = found
    except CollapseError as error:
        outcome["collapsed"] = str(error)
    for controller in controllers:
        if isinstance(controller, Guards) and controller.said:
            outcome["warnings"] = controller.said
    if watched:
        outcome["logprob_after"] = mean_logprob(trainee.policy.decoder, watched[:NUM_WATCHED])
    return run.save(lambda directory: _write(trainee, directory), **outcome)


def mean_logprob(decoder: CausalLM, documents: Sequence[Document]) -> float:
    """Mean log-probability of the supervised tokens under a model, nats. It measures, so it is not charged."""
    device, total = next(decoder.parameters()).device, 0.0
    for members in micro_batches(documents, SCORED_TOKENS):
        total += float(score(decoder, collate([documents[i] for i in members], device))[0].sum())
    return total / max(1, sum(d.num_supervised for d in documents))


def prepare(decoder: CausalLM, optimizer: Optimizer, max_tokens: int, run: Run) -> tuple[Memory, dict[str, str]]:
    """The plan of memory, and layers compiled where the recipe asks for it: what came of that, for the record."""
    memory = plan_memory(decoder, optimizer, max_tokens)
    if not run.compile:
        return memory, {}
    limit = run.ledger.limit_flops
    left = None if limit is None else max(0.0, limit - run.ledger.flops)
    found = compile_layers(decoder, memory.max_tokens, left)
    run.notify({"compile": found})
    return memory, {"compile": found}


def gold_documents(renderer: Renderer, examples: list[Example], *, with_rationale: bool) -> list[Document]:
    """Prompts with their gold completions; with rationales, examples that have none are left out."""
    if with_rationale:
        examples = [e for e in examples if e.rationale]
        if not examples:
            raise DataError(NO_RATIONALE)
    return [renderer.document(zero_shot(e), completion_text(e, with_rationale=with_rationale)) for e in examples]


def formed(examples: Sequence[Example], form: str, *, otherwise: str = "") -> tuple[list[tuple[Example, str]], int]:
    """The examples that have a form (a part's name), each with the completion that it teaches; and how many have none.

    Raises DataError when no example has it. otherwise: what it then says; "" says what helps the stage sft.
    """
    part = find("form", form)
    pairs = [(example, text) for example in examples if (text := part(example)) is not None]
    if not pairs and otherwise:
        raise DataError(otherwise)
    if not pairs and form == "rationale":
        raise DataError(NO_RATIONALE)
    if not pairs:
        raise DataError(
            f"no training example has the form '{form}': it is read from rationales, and there are "
            f'{sum(bool(e.rationale) for e in examples):,} of them. Use form = "rationale" or source = "answers".'
        )
    return pairs, len(examples) - len(pairs)


def open_ended(documents: list[Document]) -> list[Document]:
    """The documents without supervision of the last token, which ends the turn."""
    return [replace(d, spans=tuple((start, end - 1) for start, end in d.spans)) for d in documents]


def steps_of(count: int, batch: int, epochs: float | None) -> int | None:
    """How many batches so many passes over `count` examples are; None for passes without end."""
    return None if epochs is None else math.ceil(epochs * count / batch)


def in_epochs(count: int, batch: int, seed: int, name: str, epochs: float | None) -> Callable[[int], list[int] | None]:
    """From a step's number to the indices of its examples: every epoch in its own order, keyed by the epoch.

    epochs: None goes on as long as the budget does.
    """

    def indices(step: int) -> list[int] | None:
        first = step * batch
        if epochs is not None and first >= epochs * count:
            return None
        chosen = []
        for position in range(first, first + batch):
            epoch, place = divmod(position, count)
            if epochs is not None and position >= epochs * count:
                break
            chosen.append(_order(count, seed, name, epoch)[place])
        return chosen

    return indices


_orders: dict[tuple[int, int, str, int], list[int]] = {}


def _order(count: int, seed: int, name: str, epoch: int) -> list[int]:
    key = (count, seed, name, epoch)
    if key not in _orders:
        _orders.clear()
        order = list(range(count))
        stream(seed, name, epoch).shuffle(order)
        _orders[key] = order
    return _orders[key]


def _keep(trainee: Trainee, run: Run, share: float) -> None:
    """The weights as they are now, as a model of its own, with what they have cost; the training goes on unmoved."""
    directory = snapshot(run.directory, share)
    shutil.rmtree(directory, ignore_errors=True)  # half of it, from before a kill
    policy = trainee.policy
    if trainee.lora is not None:
        policy = replace(policy, decoder=deepcopy(policy.decoder))
        merge_lora(policy.decoder)
    with saving(directory):
        policy.save(directory)
        cost = {"flops": run.ledger.flops, "seconds": run.ledger.seconds}
        (directory / "snapshot.json").write_text(json.dumps({"share": share, **cost}))


def _write(trainee: Trainee, directory: Path) -> None:
    if trainee.lora is not None:
        base = str(trainee.policy.path)
        save_lora(trainee.policy.decoder, directory / "adapter", trainee.lora, base)
        merge_lora(trainee.policy.decoder)
    trainee.policy.save(directory)
