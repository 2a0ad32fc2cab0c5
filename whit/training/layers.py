"""Hidden states inside a model: seen while it runs, and projected to the width of another one."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from whit.models.causal import CausalLM


@contextmanager
def watched_layers(model: CausalLM, layers: Sequence[int]) -> Iterator[list[Tensor]]:
    """The outputs [L, D] of these layers, in their order, once the model has run inside the block."""
    stack = model.layers() if layers else ()
    found: dict[int, Tensor] = {}
    seen: list[Tensor] = []

    def keep(layer: int) -> Any:
        def hook(_: nn.Module, __: Any, output: Any) -> None:
            state = output[0] if isinstance(output, tuple) else output
            found[layer] = state[0] if state.dim() == 3 else state

        return hook

    hooks = [stack[layer].register_forward_hook(keep(layer)) for layer in set(layers)]
    try:
        yield seen
    finally:  # before a backward pass, where recomputation would run the layers again
        for hook in hooks:
            hook.remove()
    seen += [found[layer] for layer in layers]


class Projections(nn.Module):
    """One learned linear map a pair of layers, from the student's width to the teacher's; thrown away after training."""

    def __init__(self, count: int, width: int, teacher_width: int, like: Tensor, seed: int):
        super().__init__()
        generator = torch.Generator().manual_seed(seed % 2**63)
        weight_LED = torch.randn(count, teacher_width, width, generator=generator) * width**-0.5
        self.weight_LED = nn.Parameter(weight_LED.to(like))

    def forward(self, states_TLD: Tensor) -> Tensor:
        """[T, L, E] of [T, L, D]."""
        return torch.einsum("tld,led->tle", states_TLD, self.weight_LED)
