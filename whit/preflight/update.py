"""Whether a step moves the weights, and whether what samples sees them moved."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch

from whit.data.batch import Document, collate
from whit.data.render import Renderer
from whit.generation.engine import Engine
from whit.generation.sampler import GREEDY
from whit.models.causal import CausalLM
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
LARGE_RATE = 0.05  # of a step that has to be seen in what is sampled


def update(
    working: Policy, renderer: Renderer, documents: Sequence[Document], lr: float, *, least: float = 0.5,
    max_gap: float = 0.1,
) -> Finding:  # fmt: skip
    """A step moves the weights, and the sampler sees them moved. They are put back.

    least: share of the weights with a gradient that a step at the stage's rate has to move.
    max_gap: between the log-probabilities of sampler and trainer after a large step, in nats, where the step itself moves
        them by less than twice as much: in bfloat16 rounding alone is large after it.
    """
    decoder, chosen = working.decoder, documents[:NUM_DOCUMENTS]
    with trainable_tail(decoder):
        with _put_back(decoder):
            share = _step(decoder, chosen, lr)
        with _put_back(decoder):
            _step(decoder, chosen, LARGE_RATE)
            sampled, whole = _sample(working, renderer, chosen[0])
            gap = _distance(decoder, whole, sampled)
        shift = _distance(decoder, whole, sampled)
    if not (gap < max_gap or gap < shift / 2):
        return Finding(
            "failed", f"after an update the sampler's log-probabilities are {gap:.2g} nats from the trainer's",
            "The sampler does not see the updated weights.",
        )  # fmt: skip
    return verdict(
        share >= least,
        f"a step at rate {lr:.1g} moves {100 * share:.0f} % of the weights; the sampler sees them moved",
        "Small updates are lost in rounding, or the weights are frozen: keep float32 masters, or raise the learning rate.",
    )


@contextmanager
def _put_back(decoder: CausalLM) -> Iterator[None]:
    """Within, the trainable weights may be moved."""
    trained = [parameter for parameter in decoder.parameters() if parameter.requires_grad]
    kept = [parameter.detach().clone() for parameter in trained]
    try:
        yield
    finally:
        with torch.no_grad():
            for parameter, old in zip(trained, kept, strict=True):
                parameter.copy_(old)


def _step(decoder: CausalLM, documents: Sequence[Document], lr: float) -> float:
    """One step on the documents. Returns the share of the weights with a gradient that it moved."""
    optimizer, term = Optimizer(decoder, Optim(schedule="constant", warmup=0.0, clip_norm=1e9), lr), Term(cross_entropy)
    batch = collate(documents, next(decoder.parameters()).device)
    accumulate(Forward(decoder), batch, [term], {term.name: token_weights(documents, term)}, optimizer, 0.0)
    before = [(m, m.detach().clone(), m.grad != 0) for m in optimizer.masters if m.grad is not None]
    optimizer.step(0.5)
    moved = sum(int(((master != old) & has_gradient).sum()) for master, old, has_gradient in before)
    return moved / max(1, sum(int(has_gradient.sum()) for _, _, has_gradient in before))


def _sample(working: Policy, renderer: Renderer, document: Document) -> tuple[torch.Tensor, Document]:
    """The sampler's log-probabilities of a few greedy tokens, and the tokens after their prompt."""
    prompt = list(document.ids[: document.spans[0][0]])
    engine = Engine(working.decoder, frozenset(), decode=renderer.decode)
    completion = engine.generate([prompt], GREEDY.model_copy(update={"max_new_tokens": NUM_TOKENS}))[0][0]
    whole = Document([*prompt, *completion.ids], spans=((len(prompt), len(prompt) + len(completion.ids)),))
    return torch.tensor(completion.logprobs), whole


def _distance(decoder: CausalLM, whole: Document, sampled: torch.Tensor) -> float:
    """Mean difference of the sampler's log-probabilities from what the weights give now, in nats."""
    trained, _ = score(decoder, collate([whole], next(decoder.parameters()).device))
    return float((sampled - trained.float().cpu()).abs().mean())
