"""Batched sampling from the weights that are being trained: no copy of them, no server, no transfer.

A prompt that several completions share is computed once and its keys and values are copied, and so is what all prompts
begin with, such as the examples of a few-shot prompt. Completions leave their slot
when they end; the last one moves into the gap, and waiting prompts are admitted when enough slots are free.
"""

from collections import deque
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field

import numpy as np
import torch

from whit.core.errors import TemplateError
from whit.core.flops import decode_pairs, forward_flops
from whit.core.seeds import key64
from whit.core.types import Completion
from whit.generation.device_steps import LENGTHS, LOOK, DeviceSteps
from whit.generation.lane import MAX_CACHE_BYTES, Lane, by_prompt, empty_cache, row_bytes
from whit.generation.sampler import Sampling, choose, uniforms
from whit.generation.steering import Steering
from whit.kernels.arena import kept_memory
from whit.models.attention import Cache
from whit.models.causal import CausalLM
from whit.models.prepack import prepacked
from whit.models.step import compiled_step

MIN_SHARED = 16  # tokens that all prompts begin with; fewer are not worth a look
REFILL_FRAC = 0.25  # free share of the slots at which waiting prompts are admitted: a prefill pays when it is not tiny


@dataclass
class _Sequence:
    """A completion in the making."""

    prompt: int
    sample: int
    key: np.uint64
    length: int  # tokens in the cache
    ids: list[int] = field(default_factory=list)
    logprobs: list[float] = field(default_factory=list)
    finish: str = ""


class Engine:
    """Samples completions of token prompts.

    stop_ids: a completion ends with one of these. decode: ids to text, needed only for stop strings.
    max_rows: completions in flight at once; fewer when their cache would pass MAX_CACHE_BYTES.
    on_device: make several steps before the host looks, as a GPU wants it; None: on a GPU.
    """

    def __init__(
        self,
        decoder: CausalLM,
        stop_ids: frozenset[int],
        *,
        decode: Callable[[Sequence[int]], str] | None = None,
        max_rows: int = 64,
        on_device: bool | None = None,
    ):
        self.decoder, self.stop_ids, self.decode, self.max_rows = decoder, stop_ids, decode, max_rows
        self.device = next(decoder.parameters()).device
        self.on_device = self.device.type == "cuda" if on_device is None else on_device
        self._steps: DeviceSteps | None = None
        self.is_stop_V = torch.zeros(decoder.config.shape.vocab_size, dtype=torch.bool, device=self.device)
        self.is_stop_V[[i for i in stop_ids if i < len(self.is_stop_V)]] = True

    @torch.no_grad()
    @kept_memory()
    def generate(
        self,
        prompts: Sequence[Sequence[int]],
        sampling: Sampling,
        *,
        num_samples: int = 1,
        seed: int = 0,
        keys: Sequence[str] | None = None,
        notify: Callable[[int], None] | None = None,
        finished: Callable[[int, int, Completion], None] | None = None,
        steering: Steering | None = None,
    ) -> list[list[Completion]]:
        """`num_samples` completions of each prompt, in the order of the prompts.

        keys: names of the prompts for the random streams (default: their index); the same (seed, key, sample) gives
            the same random numbers in any batch.
        notify: told the number of new tokens as they come.
        finished: told of every completion as it ends: the prompt's index, the sample's, and itself.
        steering: pushes hidden states at the end of each prompt and while its completions are written.
        Raises TemplateError for an empty prompt, or one as long as the model's context.
        """
        assert sampling.max_new_tokens > 0, "0 stands for the recipe's limit: see Sampling.within"
        assert self.decode or not sampling.stop, "stop strings need `decode`"
        self._check(prompts)
        shared = _shared(prompts)
        names = [str(i) for i in range(len(prompts))] if keys is None else keys
        sequences = [
            [_Sequence(p, s, np.uint64(key64(seed, "sample", names[p], s)), len(prompt)) for s in range(num_samples)]
            for p, prompt in enumerate(prompts)
        ]
        # Longest first: what is admitted together ends together, and the largest cache is known at the start.
        order = sorted(range(len(prompts)), key=lambda p: -len(prompts[p]))
        waiting = deque(sequence for p in order for sequence in sequences[p])
        limit = self.decoder.config.max_length
        longest = min(limit, max((len(p) for p in prompts), default=0) + sampling.max_new_tokens)
        rows = self._rows(longest, len(waiting))
        steps = self._device_steps(rows, longest, sampling) if self.on_device and not steering else None
        cache = steps.cache if steps else empty_cache(self.decoder, rows, longest)
        active: list[_Sequence] = []
        step = None if steps or steering else compiled_step(self.decoder, cache, rows)
        lane = Lane(self.decoder, cache, step, steering)
        with nullcontext() if lane.step else prepacked(self.decoder, rows):
            while waiting or active:
                if waiting and (not active or rows - len(active) >= max(1, rows * REFILL_FRAC)):
                    batch = [waiting.popleft() for _ in range(min(len(waiting), rows - len(active)))]
                    self._admit(lane, batch, prompts, shared, len(active), sampling)
                    active += batch
                    num_new = len(batch)
                elif steps:
                    num_new = self._advance_several(active, steps, sampling)
                else:
                    self._advance(lane, active, sampling)
                    num_new = len(active)
                ended, active = self._retire(active, cache)
                if finished:
                    for sequence in ended:
                        finished(sequence.prompt, sequence.sample, self._completion(sequence))
                if notify:
                    notify(num_new)
        return [[self._completion(sequence) for sequence in group] for group in sequences]

    def flops(self, prompts: Sequence[Sequence[int]], completions: Sequence[Sequence[Completion]]) -> tuple[float, int]:
        """Operations and tokens that were spent: a prompt once, then one forward pass a token.

        What all prompts begin with counts once.
        """
        again = max(0, len(prompts) - 1) * _shared(prompts)
        tokens, scored = -again, 0
        pairs = -again * (_shared(prompts) + 1) / 2
        for prompt, group in zip(prompts, completions, strict=True):
            tokens += len(prompt)
            scored += 1  # the samples of a prompt draw their first token from one row
            pairs += len(prompt) * (len(prompt) + 1) / 2
            for completion in group:
                new = len(completion.ids) - 1  # the last token is never fed back
                tokens, scored, pairs = tokens + new, scored + new, pairs + decode_pairs(len(prompt), new)
        return forward_flops(self.decoder.config.shape, tokens, scored, pairs), tokens

    def _check(self, prompts: Sequence[Sequence[int]]) -> None:
        limit = self.decoder.config.max_length
        for index, prompt in enumerate(prompts):
            if not prompt or len(prompt) >= limit:
                raise TemplateError(
                    f"prompt {index + 1} has {len(prompt)} tokens; the model takes between 1 and {limit - 1}. Shorten it."
                )

    def _rows(self, longest: int, wanted: int) -> int:
        fit = self._cache_bytes() // row_bytes(self.decoder, longest)
        return max(1, min(self.max_rows, wanted, fit))

    def _cache_bytes(self) -> int:
        """What the keys and values may take: of a GPU's free memory a quarter, since training may want the rest."""
        if self.device.type != "cuda" or self._steps:
            return MAX_CACHE_BYTES
        return min(MAX_CACHE_BYTES, torch.cuda.mem_get_info(self.device)[0] // 4)

    def _device_steps(self, rows: int, longest: int, sampling: Sampling) -> DeviceSteps:
        """Those of the last call where they are large enough: graphs stay true while weights change in place."""
        steps = self._steps
        if steps and steps.sampling == sampling and len(steps.tokens_B) >= rows and steps.cache.length >= longest:
            return steps
        steps = self._steps = None  # their memory first
        longest = min(-(-longest // LENGTHS) * LENGTHS, self.decoder.config.max_length)
        self._steps = DeviceSteps(self.decoder, empty_cache(self.decoder, rows, longest), self.is_stop_V, sampling)
        return self._steps

    def _admit(
        self, lane: Lane, batch: list[_Sequence], prompts: Sequence[Sequence[int]], shared: int, first_slot: int,
        sampling: Sampling,
    ) -> None:  # fmt: skip
        """Compute each different prompt once and sample the first tokens. shared: see `Lane.admit`."""
        slots = by_prompt([sequence.prompt for sequence in batch], first_slot)
        logits_PV = lane.admit([prompts[p] for p in slots], list(slots.values()), shared, list(slots))
        index = {prompt: i for i, prompt in enumerate(slots)}
        self._choose(batch, logits_PV[[index[sequence.prompt] for sequence in batch]], sampling)

    def _advance(self, lane: Lane, active: list[_Sequence], sampling: Sampling) -> None:
        """One token more for every active sequence: slot i belongs to active[i]."""
        logits_BV = lane.advance([s.ids[-1] for s in active], [s.length for s in active], [s.prompt for s in active])
        for sequence in active:
            sequence.length += 1
        self._choose(active, logits_BV, sampling)

    def _advance_several(self, active: list[_Sequence], steps: DeviceSteps, sampling: Sampling) -> int:
        """Up to LOOK tokens more for every active sequence; how many there were in all."""
        count = min(LOOK, max(sampling.max_new_tokens - len(s.ids) for s in active))
        keys_KB = np.array([s.key for s in active] * count, dtype=np.uint64)
        places_KB = np.array([len(s.ids) + k for k in range(count) for s in active])
        uniform_KB = uniforms(keys_KB, places_KB).view(count, -1)
        ids_KB, logprobs_KB = steps.run([s.ids[-1] for s in active], [s.length for s in active], uniform_KB)
        num_new = 0
        for ids_B, logprobs_B in zip(ids_KB, logprobs_KB, strict=True):
            going = [i for i, sequence in enumerate(active) if not sequence.finish]
            for i in going:
                active[i].length += 1
                self._take(active[i], ids_B[i], logprobs_B[i], sampling)
            num_new += len(going)
        return num_new

    def _choose(self, sequences: list[_Sequence], logits_BV: torch.Tensor, sampling: Sampling) -> None:
        keys_B = np.array([s.key for s in sequences], dtype=np.uint64)
        positions_B = np.array([len(s.ids) for s in sequences])
        ids_B, logprobs_B = choose(logits_BV, uniforms(keys_B, positions_B), sampling)
        for sequence, token, logprob in zip(sequences, ids_B.tolist(), logprobs_B.tolist(), strict=True):
            self._take(sequence, token, logprob, sampling)

    def _take(self, sequence: _Sequence, token: int, logprob: float, sampling: Sampling) -> None:
        """Append a token, and see whether the sequence ends with it."""
        sequence.ids.append(token)
        sequence.logprobs.append(logprob)
        if token in self.stop_ids or (
            sampling.stop and self.decode and any(stop in self.decode(sequence.ids) for stop in sampling.stop)
        ):
            sequence.finish = "stop"
        elif len(sequence.ids) >= sampling.max_new_tokens or sequence.length + 1 >= self.decoder.config.max_length:
            sequence.finish = "length"

    def _retire(self, active: list[_Sequence], cache: Cache) -> tuple[list[_Sequence], list[_Sequence]]:
        """Those that have ended, and those that go on, in their slots."""
        ended = [sequence for sequence in active if sequence.finish]
        slot = 0
        while slot < len(active):
            if not active[slot].finish:
                slot += 1
                continue
            last = len(active) - 1
            if slot != last and not active[last].finish:
                cache.move(last, slot, active[last].length)
            active[slot] = active[last]
            active.pop()
        return ended, active

    def _completion(self, sequence: _Sequence) -> Completion:
        return Completion(
            tuple(sequence.ids), tuple(sequence.logprobs), "stop" if sequence.finish == "stop" else "length"
        )


def _shared(prompts: Sequence[Sequence[int]]) -> int:
    """How many tokens all of several prompts begin with; 0 for a few. Each keeps one of its own, which predicts."""
    if len(prompts) < 2:
        return 0
    first, last = min(map(list, prompts)), max(map(list, prompts))  # in order; what these two share, all do
    equal = next((i for i, (a, b) in enumerate(zip(first, last)) if a != b), len(first))
    length = min(equal, min(len(p) for p in prompts) - 1)
    return length if length >= MIN_SHARED else 0
