"""Hidden states inside a model, seen while it runs."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

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
