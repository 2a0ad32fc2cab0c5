"""One model at work on the sequences that it writes: their keys and values, a slot each, and what comes next."""

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext

import torch
from torch import Tensor

from whit.generation.steering import Steering
from whit.models.attention import Cache, Cached, Packed
from whit.models.causal import CausalLM
from whit.models.step import Step

MAX_CACHE_BYTES = 2 << 30


class Lane:
    """A model and its cache. step: its compiled step, where it has one; other models make it layer by layer.

    steering: pushes hidden states, which a compiled step does not show.
    """

    def __init__(self, decoder: CausalLM, cache: Cache, step: Step | None = None, steering: Steering | None = None):
        assert not (step and steering), "a compiled step has no layers to push at"
        self.decoder, self.cache, self.step, self.steering = decoder, cache, step, steering
        self.device = next(decoder.parameters()).device

    def admit(
        self,
        prompts: Sequence[Sequence[int]],
        slots: Sequence[Sequence[int]],
        shared: int = 0,
        which: Sequence[int] = (),
    ) -> Tensor:
        """Compute each prompt once and copy its keys and values to its slots. Returns the logits [P, V] that follow them.

        shared: how many tokens all prompts begin with; the first prompt holds them for the others.
        which: the index of each prompt, for the steering.
        """
        skipped = [0] + [shared] * (len(prompts) - 1)
        own = [ids[skip:] for ids, skip in zip(prompts, skipped, strict=True)]
        lengths = [len(ids) for ids in own]
        record: list[tuple[Tensor, Tensor]] = []
        tokens_L = torch.tensor([token for ids in own for token in ids], device=self.device)
        positions_L = torch.cat([torch.arange(skip, skip + n) for skip, n in zip(skipped, lengths, strict=True)])
        attention = Packed(lengths, self.device, record, [(0, skip) for skip in skipped])
        ends = torch.tensor(lengths).cumsum(0)
        with self._steered((ends - 1).to(self.device), which):
            hidden_LD = self.decoder(tokens_L, positions_L.to(self.device), attention)
        places = [torch.tensor(list(its), device=self.device) for its in slots]
        for layer, (k_LhD, v_LhD) in enumerate(record):
            for slots_B, start, end, skip in zip(places, ends - torch.tensor(lengths), ends, skipped, strict=True):
                self.cache.fill(slots_B, layer, k_LhD[:skip], v_LhD[:skip])
                self.cache.fill(slots_B, layer, k_LhD[start:end], v_LhD[start:end], offset=skip)
        return self.decoder.forbid(self.decoder.logits(hidden_LD[(ends - 1).to(self.device)]))

    def advance(self, tokens: Sequence[int], positions: Sequence[int], which: Sequence[int] = ()) -> Tensor:
        """One token more in each of the first B slots. Returns the logits [B, V] that follow it. which: see `admit`."""
        tokens_B = torch.tensor(tokens, device=self.device)
        positions_B = torch.tensor(positions, device=self.device)
        if self.step:
            return self.decoder.forbid(self.step(tokens_B, positions_B))
        attention = Cached(self.cache, positions_B, max(positions) + 1)
        with self._steered(torch.arange(len(tokens), device=self.device), which):
            hidden_BD = self.decoder(tokens_B, positions_B, attention)
        return self.decoder.forbid(self.decoder.logits(hidden_BD))

    def _steered(self, rows: Tensor, which: Sequence[int]) -> AbstractContextManager[None]:
        return self.steering.on(self.decoder, rows, which) if self.steering else nullcontext()


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
