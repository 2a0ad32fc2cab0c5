"""A push on hidden states while a model writes: at the last token of a prompt and at each new one, at chosen layers.

The rule keeps a state's length, as the code of arXiv:2311.06668 does; the strength counts in that length, since states grow
with depth.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from whit.models.causal import CausalLM


@dataclass(frozen=True)
class Steering:
    """h becomes h + strength * |h| * v, brought back to the length of h.

    layers: after which of them. vectors_PSD: v of each prompt at each of these layers, of length 1, or 0 for no push.
    """

    layers: tuple[int, ...]
    vectors_PSD: Tensor
    strength: float

    @contextmanager
    def on(self, decoder: CausalLM, rows: Tensor, prompts: Sequence[int]) -> Iterator[None]:
        """Inside, the states of these rows of a pass are pushed, each by the vectors of its prompt."""
        stack = decoder.layers()
        vectors_NSD = self.vectors_PSD[list(prompts)].to(rows.device)
        hooks = [
            stack[layer].register_forward_hook(_pushes(rows, vectors_NSD[:, index], self.strength))
            for index, layer in enumerate(self.layers)
        ]
        try:
            yield
        finally:
            for hook in hooks:
                hook.remove()

    @contextmanager
    def everywhere(self, decoder: CausalLM, prompt: int = 0) -> Iterator[None]:
        """Inside, every state of every pass is pushed by the vectors of one prompt: to see what a push costs elsewhere."""
        stack = decoder.layers()
        device = next(decoder.parameters()).device
        hooks = [
            stack[layer].register_forward_hook(_pushes(None, vector_D.to(device)[None], self.strength))
            for layer, vector_D in zip(self.layers, self.vectors_PSD[prompt], strict=True)
        ]
        try:
            yield
        finally:
            for hook in hooks:
                hook.remove()


def pushed(states_ND: Tensor, vectors_ND: Tensor, strength: float) -> Tensor:
    """The states moved towards the vectors and brought back to their lengths, computed in float32."""
    wide_ND = states_ND.to(torch.promote_types(states_ND.dtype, torch.float32))
    length_N1 = wide_ND.norm(dim=-1, keepdim=True)
    moved_ND = wide_ND + strength * length_N1 * vectors_ND.to(wide_ND)
    kept_ND: Tensor = moved_ND * (length_N1 / moved_ND.norm(dim=-1, keepdim=True).clamp(min=1e-12))
    return kept_ND.to(states_ND.dtype)


def _pushes(rows: Tensor | None, vectors_ND: Tensor, strength: float) -> Any:
    """A hook that pushes these rows of a layer's states; None pushes all of them alike."""

    def hook(_: nn.Module, __: Any, output: Any) -> Any:
        whole = output[0] if isinstance(output, tuple) else output
        states_LD: Tensor = whole[0] if whole.dim() == 3 else whole
        if rows is None:
            moved_LD = pushed(states_LD, vectors_ND, strength)
        else:
            moved_LD = states_LD.index_copy(0, rows, pushed(states_LD[rows], vectors_ND, strength))
        moved = moved_LD[None] if whole.dim() == 3 else moved_LD
        return (moved, *output[1:]) if isinstance(output, tuple) else moved

    return hook
