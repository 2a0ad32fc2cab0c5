"""One model at work on the sequences that it writes: their keys and values, a slot each, and what comes next."""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from whit.models.attention import Cache, Cached, Packed
from whit.models.causal import CausalLM
from whit.models.step import Step

MAX_CACHE_BYTES = 2 << 30


class Lane:
    """A model and its cache. step: its compiled step, where it has one; other models make it layer by layer."""

    def __init__(self, decoder: CausalLM, cache: Cache, step: Step | None = None):
        self.decoder, self.cache, self.step = decoder, cache, step
        self.device = next(decoder.parameters()).device

    def admit(self, prompts: Sequence[Sequence[int]], slots: Sequence[Sequence[int]], shared: int = 0) -> Tensor:
        """Compute each prompt once and copy its keys and values to its slots. Returns the logits [P, V] that follow them.

        shared: how many tokens all prompts begin with; the first prompt holds them for the others.
        """
        skipped = [0] + [shared] * (len(prompts) - 1)
        own = [ids[skip:] for ids, skip in zip(prompts, skipped, strict=True)]
        lengths = [len(ids) for ids in own]
        record: list[tuple[Tensor, Tensor]] = []
        tokens_L = torch.tensor([token for ids in own for token in ids], device=self.device)
        positions_L = torch.cat([torch.arange(skip, skip + n) for skip, n in zip(skipped, lengths, strict=True)])
        attention = Packed(lengths, self.device, record, [(0, skip) for skip in skipped])
        hidden_LD = self.decoder(tokens_L, positions_L.to(self.device), attention)
        ends = torch.tensor(lengths).cumsum(0)
        places = [torch.tensor(list(its), device=self.device) for its in slots]
        for layer, (k_LhD, v_LhD) in enumerate(record):
            for slots_B, start, end, skip in zip(places, ends - torch.tensor(lengths), ends, skipped, strict=True):
                self.cache.fill(slots_B, layer, k_LhD[:skip], v_LhD[:skip])
                self.cache.fill(slots_B, layer, k_LhD[start:end], v_LhD[start:end], offset=skip)
        return self.decoder.forbid(self.decoder.logits(hidden_LD[(ends - 1).to(self.device)]))

    def advance(self, tokens: Sequence[int], positions: Sequence[int]) -> Tensor:
        """One token more in each of the first B slots. Returns the logits [B, V] that follow it."""
        tokens_B = torch.tensor(tokens, device=self.device)
        positions_B = torch.tensor(positions, device=self.device)
        if self.step:
            return self.decoder.forbid(self.step(tokens_B, positions_B))
        attention = Cached(self.cache, positions_B, max(positions) + 1)
        return self.decoder.forbid(self.decoder.logits(self.decoder(tokens_B, positions_B, attention)))


def row_bytes(decoder: CausalLM, length: int) -> int:
    """What the keys and values of one sequence of so many tokens take."""
    shape = decoder.config.shape
    element = next(decoder.parameters()).element_size()
    return 2 * shape.num_layers * shape.num_kv_heads * shape.head_size * length * element


def empty_cache(decoder: CausalLM, rows: int, length: int) -> Cache:
    """A cache for so many sequences of up to `length` tokens."""
    shape = decoder.config.shape
    return Cache(shape.num_layers, rows, shape.num_kv_heads, length, shape.head_size, next(decoder.parameters()))


def by_prompt(prompts: Sequence[int], first_slot: int) -> Mapping[int, list[int]]:
    """The slots of each different prompt, where consecutive slots from `first_slot` on take these prompts."""
    slots: dict[int, list[int]] = {}
    for offset, prompt in enumerate(prompts):
        slots.setdefault(prompt, []).append(first_slot + offset)
    return slots
