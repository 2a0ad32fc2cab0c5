"""A part of a model to take gradients of: checks look at how gradients are made, not at all of them."""

from collections.abc import Iterator
from contextlib import contextmanager

from whit.models.causal import CausalLM

NUM_MATRICES = 3


@contextmanager
def trainable_tail(decoder: CausalLM) -> Iterator[None]:
    """Within, only the last matrices before the head are trainable: memory and time of a check stay small."""
    wanted = {name: parameter.requires_grad for name, parameter in decoder.named_parameters()}
    head = decoder.head().weight
    matrices = [p for p in decoder.parameters() if p.dim() == 2 and p.shape != head.shape]
    decoder.requires_grad_(False)
    for matrix in matrices[-NUM_MATRICES:]:
        matrix.requires_grad_(True)
    try:
        yield
    finally:
        for name, parameter in decoder.named_parameters():
            parameter.requires_grad_(wanted[name])
            parameter.grad = None
