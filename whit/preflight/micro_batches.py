"""Whether cutting a step into micro-batches changes its gradient."""

from collections.abc import Sequence

import torch

from whit.data.batch import Document
from whit.models.load import Policy
from whit.objectives._types import Term
from whit.objectives.cross_entropy import cross_entropy
from whit.preflight._tail import trainable_tail
from whit.preflight._types import Finding, verdict
from whit.training.loop import step_gradient
from whit.training.optim import Optim, Optimizer
from whit.training.signals import Forward

NUM_DOCUMENTS = 4


def micro_batches(policy: Policy, documents: Sequence[Document], *, max_difference: float = 1e-3) -> Finding:
    """The gradient of documents of unequal length is the same in one batch and one by one.

    max_difference: of the gradients of the last matrices, in their norm; rounding in float32 gives about 1e-6.
    """
    chosen = sorted(documents, key=lambda document: document.num_supervised)
    chosen = [chosen[round(i * (len(chosen) - 1) / max(1, NUM_DOCUMENTS - 1))] for i in range(NUM_DOCUMENTS)]
    together, apart = _gradient(policy, chosen, max_tokens=1 << 30), _gradient(policy, chosen, max_tokens=1)
    difference = float((together - apart).norm() / together.norm())
    return verdict(
        difference <= max_difference,
        f"the gradients of {len(chosen)} documents in one batch and one by one differ by {difference:.1g} of their norm",
        "The loss is normalised micro-batch by micro-batch: long and short documents would weigh differently.",
    )


def _gradient(policy: Policy, documents: Sequence[Document], max_tokens: int) -> torch.Tensor:
    device = next(policy.decoder.parameters()).device
    with trainable_tail(policy.decoder):
        optimizer = Optimizer(policy.decoder, Optim(), 1.0)
        step_gradient(Forward(policy.decoder), [Term(cross_entropy)], documents, optimizer, 0.0, max_tokens, device)
        gradients = [m.grad.flatten() for m in optimizer.masters if m.grad is not None]
        optimizer.adamw.zero_grad(set_to_none=True)
    return torch.cat(gradients)
