"""Whether a step moves the weights, and whether what samples sees them moved."""

from collections.abc import Sequence

import torch

from whit.data.batch import Document, collate
from whit.data.render import Renderer
from whit.generation.engine import Engine
from whit.generation.sampler import GREEDY
from whit.models.load import Policy
from whit.objectives._types import Term
from whit.objectives.cross_entropy import cross_entropy
from whit.preflight._tail import trainable_tail
from whit.preflight._types import Finding, verdict
from whit.training.optim import Optim, Optimizer
from whit.training.signals import Forward, accumulate, score
from whit.training.weights import token_weights

NUM_DOCUMENTS = 2
NUM_TOKENS = 8
LARGE_RATE = 0.05  # of the second step, which has to be seen in what is sampled


def update(
    working: Policy,
    renderer: Renderer,
    documents: Sequence[Document],
    lr: float,
    *,
    least: float = 0.5,
    max_gap: float = 0.1,
) -> Finding:
    """A step moves the weights, and the sampler sees them moved. They are put back.

    least: share of the weights with a gradient that a step at the stage's rate has to move.
    max_gap: between the log-probabilities of sampler and trainer after a large step, in nats.
    """
    decoder, device = working.decoder, next(working.decoder.parameters()).device
    chosen = list(documents[:NUM_DOCUMENTS])
    batch, term = collate(chosen, device), Term(cross_entropy)
    weights = {term.name: token_weights(chosen, term)}
    with trainable_tail(decoder):
        optimizer = Optimizer(decoder, Optim(schedule="constant", warmup=0.0, clip_norm=1e9), lr)
        kept = [p.detach().clone() for p in optimizer.parameters]
        try:
            accumulate(Forward(decoder), batch, [term], weights, optimizer, 0.0)
            has_gradient = [m.grad != 0 for m in optimizer.masters if m.grad is not None]
            before = [m.detach().clone() for m in optimizer.masters]
            optimizer.step(0.5)
            pairs = zip(before, optimizer.masters, has_gradient, strict=True)
            moved = sum(int(((old != new) & some).sum()) for old, new, some in pairs)
            share = moved / max(1, sum(int(some.sum()) for some in has_gradient))
            accumulate(Forward(decoder), batch, [term], weights, optimizer, 0.0)
            optimizer.peak_lr = LARGE_RATE
            optimizer.step(0.5)
            gap = _gap(working, renderer, chosen[0])
        finally:
            with torch.no_grad():
                for parameter, old in zip(optimizer.parameters, kept, strict=True):
                    parameter.copy_(old)
    if gap >= max_gap:
        return Finding(
            "failed", f"after an update the sampler's log-probabilities are {gap:.2g} nats from the trainer's",
            "The sampler does not see the updated weights.",
        )  # fmt: skip
    return verdict(
        share >= least,
        f"a step at rate {lr:.1g} moves {100 * share:.0f} % of the weights; the sampler sees them moved",
        "Small updates are lost in rounding, or the weights are frozen: keep float32 masters, or raise the learning rate.",
    )


def _gap(working: Policy, renderer: Renderer, document: Document) -> float:
    """Mean difference of sampler and trainer on a few greedy tokens, in nats."""
    prompt = list(document.ids[: document.spans[0][0]])
    engine = Engine(working.decoder, frozenset(), decode=renderer.decode)
    completion = engine.generate([prompt], GREEDY.model_copy(update={"max_new_tokens": NUM_TOKENS}))[0][0]
    whole = Document([*prompt, *completion.ids], spans=((len(prompt), len(prompt) + len(completion.ids)),))
    trained, _ = score(working.decoder, collate([whole], next(working.decoder.parameters()).device))
    return float((torch.tensor(completion.logprobs) - trained.float().cpu()).abs().mean())
