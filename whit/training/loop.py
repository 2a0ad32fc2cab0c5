"""The one training loop. SFT, distillation, RL and hybrids differ in what a producer feeds it and in the terms.

A step: ask the producer for documents, weigh them, add up the gradient micro-batch by micro-batch, update once. The
loop ends when the budget does, or when the producer has no more.
"""

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import count
from typing import Any, Protocol

import torch

from whit.core.errors import CollapseError, DataError
from whit.core.flops import train_flops
from whit.core.rundir import Run
from whit.core.seeds import key64
from whit.data.ahead import ahead
from whit.data.batch import Batch, Document, collate
from whit.data.sharing import micro_batches, work
from whit.kernels.arena import kept_memory
from whit.objectives._types import Term
from whit.training.checkpoint import Saver, State, restore_checkpoint
from whit.training.memory import Memory
from whit.training.meter import Meter
from whit.training.optim import Optimizer
from whit.training.signals import Forward, accumulate
from whit.training.sums import Sums
from whit.training.vocabulary import check_terms
from whit.training.weights import token_weights

ROW_MULTIPLE = 32  # tokens; see `collate`. Filling is charged to nobody


@dataclass(frozen=True)
class Feed:
    """What a producer hands over for one step: documents, and numbers to write beside the loss.

    An empty feed is a step that had nothing to learn from: it is counted, and no update is made.
    once: operations that were charged for what few rounds have, such as a look at gradients: the next need not fit it.
    ends_round: False when the next step goes on with the same rollouts. A stage is saved, and its budget is looked at,
        only between rounds: a stage that went on in the middle would sample again, with other weights.
    """

    documents: Sequence[Document]
    metrics: dict[str, float] = field(default_factory=dict)
    ends_round: bool = True
    once: float = 0.0


class Controller(Protocol):
    """Something beside the weights that a training moves: it sees each update's record, is shown beside
    the loss, and can be saved and restored."""

    name: str

    def observe(self, line: Mapping[str, float]) -> None: ...
    def numbers(self) -> dict[str, float]: ...
    def state(self) -> dict[str, Any]: ...
    def restore(self, state: Mapping[str, Any]) -> None: ...


Producer = Callable[[int, float], Feed | None]
"""From the step's number and the progress to its feed; None ends the stage. It charges its own sampling."""


@kept_memory()
def train(
    forward: Forward,
    terms: Sequence[Term],
    producer: Producer,
    optimizer: Optimizer,
    run: Run,
    *,
    memory: Memory,
    num_steps: int | None = None,
    lora_rank: int = 0,
    keep: Callable[[float], None] = lambda _: None,
    controllers: Sequence[Controller] = (),
) -> int:
    """Train until the budget is spent or the producer ends. Returns the number of updates made.

    memory: how many tokens a micro-batch may have, which cannot change the result.
    num_steps: after how many steps the producer ends, where it is known. Schedules run over what is nearer: that or the
        budget.
    keep: called with each share of `run.snapshots` when the progress has reached it; of several that one step reaches, with
        the last.
    controllers: what is told of every update, and whose state is saved with the stage's.
    Raises CollapseError at the first loss or gradient that is not finite, before the weights are touched,
    and BudgetError when not even the first step fits the budget, or a document not the memory.
    """
    check_terms(terms, forward.teacher, has_values=forward.values is not None, has_guide=forward.guide is not None)
    spent = run.ledger.flops  # before training: what a producer sampled to have something to train on
    state = restore_checkpoint(run.directory, optimizer) or State(run.ledger)
    run.ledger = state.ledger
    for controller in controllers:
        if controller.name in state.controllers:
            controller.restore(state.controllers[controller.name])
    meter = Meter(run.directory / "metrics.jsonl", state.step)
    device = next(forward.policy.parameters()).device
    saver, before, once, starts_round = Saver(run), 0.0, 0.0, True
    reached = _progress(run, spent, state.step, num_steps) if state.step else 0.0
    if state.step:
        run.notify({"resumed": state.step, "progress": reached})
    for step in count(state.step):
        if starts_round:
            before, once = run.ledger.flops, 0.0
            # What a producer will charge is not known before it has: a round as dear as any before has to fit.
            if state.step and not run.ledger.fits(state.dearest):
                break
        started = time.perf_counter()
        progress = _progress(run, spent, step, num_steps)
        torch.manual_seed(key64(run.seed, "dropout", step) % 2**63)  # adapters may have dropout: exact on resuming too
        feed = producer(step, progress)
        if feed is None:
            break
        line: dict[str, float] = {"step": step, "progress": progress, **feed.metrics}
        for controller in controllers:
            line |= controller.numbers()
        cost = step_flops(forward, feed.documents, lora_rank) if feed.documents else (0.0, 0.0)
        if step == 0:
            run.ledger.require(sum(cost), "step 1")
        if feed.documents:
            if not run.ledger.fits(sum(cost)):
                break
            memory.make_room(forward.policy, max(len(d.ids) for d in feed.documents))
            begun = time.perf_counter()
            sums = step_gradient(forward, terms, feed.documents, optimizer, progress, memory.max_tokens, device)
            line |= sums.read(grad_norm=optimizer.clip())
            _check_finite(line, [*sums.terms, "grad_norm"], step)
            line["lr"] = optimizer.update(progress)
            # Policy and teacher share the seconds by operations: the device runs both in one stream.
            rate = (time.perf_counter() - begun) / sum(cost)
            tokens = sum(len(d.ids) for d in feed.documents)
            supervised = sum(d.num_supervised for d in feed.documents)
            line |= {name: line[name] / max(1, supervised) for name in sums.totals}
            line |= {name: line[name] / len(feed.documents) for name in sums.shares}
            run.ledger.charge("train", flops=cost[0], tokens=tokens, seconds=rate * cost[0])
            if cost[1]:
                run.ledger.charge("teacher", flops=cost[1], tokens=tokens, seconds=rate * cost[1])
            line |= {"tokens": tokens, "supervised_tokens": supervised}
            for controller in controllers:
                controller.observe(line)
            state.updates += 1
        line |= {"flops": run.ledger.flops, "seconds": time.perf_counter() - started}
        meter.write(line)
        run.notify(line)
        starts_round, once = feed.ends_round, once + feed.once
        if starts_round:
            state.step, state.dearest = step + 1, max(state.dearest, run.ledger.flops - before - once)
            earlier, reached = reached, _progress(run, spent, step + 1, num_steps)
            if passed := [share for share in run.snapshots if earlier < share <= reached]:
                keep(passed[-1])
            if saver.is_due:
                state.controllers = {controller.name: controller.state() for controller in controllers}
                saver.save(optimizer, state)
    return state.updates


def step_flops(forward: Forward, documents: Sequence[Document], lora_rank: int = 0) -> tuple[float, float]:
    """Operations of a step on these documents: the policy's training, and the teacher's forward pass."""
    tokens, scored, pairs = work(documents)
    teacher = forward.teacher.flops(documents) if forward.teacher else 0.0
    return train_flops(forward.policy.config.shape, tokens, scored, pairs, lora_rank), teacher


def _progress(run: Run, spent: float, step: int, num_steps: int | None) -> float:
    """Share of the budget that is left for training, or of the steps, whichever is further."""
    limit = run.ledger.limit_flops
    of_budget = min(1.0, (run.ledger.flops - spent) / (limit - spent)) if limit and limit > spent else 0.0
    return max(of_budget, step / num_steps if num_steps else 0.0)


def step_gradient(
    forward: Forward,
    terms: Sequence[Term],
    documents: Sequence[Document],
    optimizer: Optimizer,
    progress: float,
    max_tokens: int,
    device: torch.device,
) -> Sums:
    """The gradient of one optimizer step, added up micro-batch by micro-batch. Returns the weighted sum of each term."""
    if not any(d.num_supervised for d in documents):
        raise DataError(
            "no token of this step is supervised. Check the chat template and the completions (`whit inspect`)."
        )
    weights = {term.name: token_weights(documents, term) for term in terms}
    total = Sums()
    # What no document of the step has a part in is not asked for: nothing may be recorded for it.
    idle = [term for term in terms if not any(weights[term.name])]
    terms = [term for term in terms if term not in idle]
    for term in idle:
        total.add(term.name, torch.zeros((), device=device))
    cut = micro_batches(documents, max_tokens)

    def packed(members: list[int]) -> Batch:
        return collate([documents[i] for i in members], device, multiple=ROW_MULTIPLE)

    for members, batch in zip(cut, ahead(packed, cut), strict=True):
        if not len(batch.source_T):
            continue
        own = {name: [values[i] for i in members] for name, values in weights.items()}
        total.merge(accumulate(forward, batch, terms, own, optimizer, progress))
    return total


def _check_finite(line: dict[str, float], names: Sequence[str], step: int) -> None:
    for name in names:
        if not math.isfinite(line[name]):
            raise CollapseError(
                f"step {step + 1}: {name} is {line[name]}. The weights before this step are kept. "
                "Lower the learning rate or raise the warm-up."
            )
