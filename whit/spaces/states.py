"""The states of a model at the end of prompts, where it is about to answer."""

from collections.abc import Sequence

import torch
from torch import Tensor

from whit.data.packing import pack
from whit.models.attention import Packed
from whit.models.causal import CausalLM
from whit.models.watch import watched_layers

ROW = 4096  # tokens of a pass


@torch.no_grad()
def last_states(decoder: CausalLM, prompts: Sequence[Sequence[int]], layers: Sequence[int]) -> Tensor:
    """[N, S, D] in float32: the states after these layers at the last token of each prompt."""
    return _states(decoder, prompts, layers, whole=False)


@torch.no_grad()
def mean_states(decoder: CausalLM, texts: Sequence[Sequence[int]], layer: int) -> Tensor:
    """[N, D] in float32: the mean over a text's tokens of the states after a layer, in the place of a sentence encoder."""
    return _states(decoder, texts, [layer], whole=True)[:, 0]


def _states(decoder: CausalLM, prompts: Sequence[Sequence[int]], layers: Sequence[int], *, whole: bool) -> Tensor:
    device, shape = next(decoder.parameters()).device, decoder.config.shape
    found = torch.empty(len(prompts), len(layers), shape.width)
    lengths = [len(ids) for ids in prompts]
    for members in pack(lengths, max(ROW, *lengths)):
        own = [lengths[i] for i in members]
        tokens_L = torch.tensor([token for i in members for token in prompts[i]], device=device)
        positions_L = torch.cat([torch.arange(n) for n in own]).to(device)
        with watched_layers(decoder, layers) as seen:
            decoder(tokens_L, positions_L, Packed(own, device))
        for slot, state_LD in enumerate(seen):
            parts = torch.split(state_LD.float().cpu(), own)
            rows = [part.mean(0) if whole else part[-1] for part in parts]
            found[torch.tensor(members), slot] = torch.stack(rows)
    return found
