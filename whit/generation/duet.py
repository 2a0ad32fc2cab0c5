"""Two models that write one text, token by token: both read all of it, and a rule chooses what comes next.

Reverse speculative decoding and sampling from a mixture of student and teacher are such rules. Ids are shared: the models
have the same tokens. Prompts may differ, as chat templates do.
"""

from collections import deque
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from whit.core.errors import TemplateError
from whit.core.flops import decode_pairs, forward_flops
from whit.core.ledger import Ledger, Purpose
from whit.core.seeds import key64
from whit.generation.engine import REFILL_FRAC
from whit.generation.lane import MAX_CACHE_BYTES, Lane, by_prompt, empty_cache, row_bytes
from whit.generation.sampler import Finish, uniforms
from whit.kernels.arena import kept_memory
from whit.models.causal import CausalLM
from whit.models.prepack import prepacked
from whit.models.step import compiled_step


@dataclass(frozen=True)
class Chosen:
    """What a rule made of one position of B texts.

    ids_B: the tokens. logprobs_B: of each under what it was drawn from, nats. student_logprobs_B, teacher_logprobs_B: under
    the models themselves, at temperature 1. is_teachers_B: whether the teacher's proposal was taken.
    """

    ids_B: Tensor
    logprobs_B: Tensor
    student_logprobs_B: Tensor
    teacher_logprobs_B: Tensor
    is_teachers_B: Tensor


Draw = Callable[[int], Tensor]
"""Uniform numbers [B], other ones for each index."""
Rule = Callable[[Tensor, Tensor, Draw], Chosen]
"""From the student's and the teacher's logits [B, V] to the tokens."""
PURPOSES: tuple[Purpose, Purpose] = ("sample", "teacher")
MAX_DRAWS = 16  # different uniform numbers that a rule may ask for at a position


@dataclass
class Text:
    """A completion that both wrote. finish: "stop" at the student's stop token, "length" where the limit cut it off."""

    prompt: int
    sample: int
    key: np.uint64
    ids: list[int] = field(default_factory=list)
    logprobs: list[float] = field(default_factory=list)
    student_logprobs: list[float] = field(default_factory=list)
    teacher_logprobs: list[float] = field(default_factory=list)
    is_teachers: list[bool] = field(default_factory=list)
    finish: Finish | None = None


class Duet:
    """A student and a teacher of the same tokens. stop_ids: a text ends with one of these. max_rows: texts at once."""

    def __init__(self, student: CausalLM, teacher: CausalLM, stop_ids: frozenset[int], *, max_rows: int = 64):
        self.models, self.stop_ids, self.max_rows = (student, teacher), stop_ids, max_rows

    @torch.no_grad()
    @kept_memory()
    def write(
        self, prompts: Sequence[tuple[Sequence[int], Sequence[int]]], rule: Rule, *, max_new_tokens: int,
        num_samples: int = 1, seed: int = 0, keys: Sequence[str],
    ) -> list[list[Text]]:  # fmt: skip
        """`num_samples` texts for each (student's prompt, teacher's prompt), in order.

        keys: names of the prompts for the random streams; the same (seed, key, sample) gives the same random numbers.
        Raises TemplateError for a prompt that leaves no room.
        """
        texts = [
            [Text(p, s, np.uint64(key64(seed, "duet", keys[p], s))) for s in range(num_samples)]
            for p in range(len(prompts))
        ]
        order = sorted(range(len(prompts)), key=lambda p: -len(prompts[p][0]))
        waiting = deque(text for p in order for text in texts[p])
        limits = [model.config.max_length for model in self.models]
        room = [min(m - len(i) for i, m in zip(pair, limits, strict=True)) for pair in prompts]
        if too_long := [p for p, left in enumerate(room) if left <= 0]:
            raise TemplateError(
                f"{len(too_long)} of {len(prompts)} prompts fill the context of a model ({min(limits)} tokens), first "
                f"{keys[too_long[0]]}. Leave them out, or use models with longer contexts."
            )
        longest = [
            min(limit, max(len(pair[side]) for pair in prompts) + max_new_tokens) for side, limit in enumerate(limits)
        ]
        taken = sum(row_bytes(model, length) for model, length in zip(self.models, longest, strict=True))
        rows = max(1, min(self.max_rows, len(waiting), 2 * MAX_CACHE_BYTES // taken))
        lanes = [self._lane(model, rows, length) for model, length in zip(self.models, longest, strict=True)]
        active: list[Text] = []
        with ExitStack() as packed:
            for lane in lanes:
                if not lane.step:
                    packed.enter_context(prepacked(lane.decoder, rows))
            while waiting or active:
                if waiting and (not active or rows - len(active) >= max(1, rows * REFILL_FRAC)):
                    new = [waiting.popleft() for _ in range(min(len(waiting), rows - len(active)))]
                    said = [self._admit(lane, new, prompts, side, len(active)) for side, lane in enumerate(lanes)]
                    self._choose(new, said[0], said[1], rule, max_new_tokens, room)
                    active += new
                else:
                    said = [self._advance(lane, active, prompts, side) for side, lane in enumerate(lanes)]
                    self._choose(active, said[0], said[1], rule, max_new_tokens, room)
                active = _retire(active, prompts, lanes)
        return texts

    def charge(
        self, ledger: Ledger, prompts: Sequence[tuple[Sequence[int], Sequence[int]]], texts: Sequence[Sequence[Text]],
        seconds: float,
    ) -> None:  # fmt: skip
        """Charge what it took: the student's operations as sampling, the teacher's as the teacher's; a prompt once.

        seconds: of both, divided by operations.
        """
        spent: list[tuple[float, int]] = []
        for side, model in enumerate(self.models):
            tokens, scored, pairs = 0, 0, 0.0
            for pair, group in zip(prompts, texts, strict=True):
                length = len(pair[side])
                tokens, scored, pairs = tokens + length, scored + 1, pairs + length * (length + 1) / 2
                for text in group:
                    new = len(text.ids) - 1  # the last token is never fed back
                    tokens, scored, pairs = tokens + new, scored + new, pairs + decode_pairs(length, new)
            spent.append((forward_flops(model.config.shape, tokens, scored, pairs), tokens))
        rate = seconds / sum(flops for flops, _ in spent)
        for purpose, (flops, tokens) in zip(PURPOSES, spent, strict=True):
            ledger.charge(purpose, flops=flops, tokens=tokens, seconds=rate * flops)

    def _lane(self, model: CausalLM, rows: int, length: int) -> Lane:
        cache = empty_cache(model, rows, length)
        return Lane(model, cache, compiled_step(model, cache, rows))

    def _admit(
        self, lane: Lane, new: list[Text], prompts: Sequence[tuple[Sequence[int], Sequence[int]]], side: int, first: int
    ) -> Tensor:
        slots = by_prompt([text.prompt for text in new], first)
        logits_PV = lane.admit([prompts[p][side] for p in slots], list(slots.values()))
        index = {prompt: i for i, prompt in enumerate(slots)}
        return logits_PV[[index[text.prompt] for text in new]]

    def _advance(
        self, lane: Lane, active: list[Text], prompts: Sequence[tuple[Sequence[int], Sequence[int]]], side: int
    ) -> Tensor:
        positions = [len(prompts[text.prompt][side]) + len(text.ids) - 1 for text in active]
        return lane.advance([text.ids[-1] for text in active], positions)

    def _choose(
        self,
        texts: list[Text],
        student_BV: Tensor,
        teacher_BV: Tensor,
        rule: Rule,
        max_new_tokens: int,
        room: Sequence[int],
    ) -> None:
        keys_B = np.array([text.key for text in texts], dtype=np.uint64)
        places_B = np.array([len(text.ids) for text in texts]) * MAX_DRAWS

        def uniform(index: int) -> Tensor:
            assert index < MAX_DRAWS
            return uniforms(keys_B, places_B + index).to(student_BV.device)

        chosen = rule(student_BV, teacher_BV, uniform)
        columns = zip(
            texts, chosen.ids_B.tolist(), chosen.logprobs_B.tolist(), chosen.student_logprobs_B.tolist(),
            chosen.teacher_logprobs_B.tolist(), chosen.is_teachers_B.tolist(), strict=True,
        )  # fmt: skip
        for text, token, logprob, student_logprob, teacher_logprob, is_teachers in columns:
            text.ids.append(token)
            text.logprobs.append(logprob)
            text.student_logprobs.append(student_logprob)
            text.teacher_logprobs.append(teacher_logprob)
            text.is_teachers.append(is_teachers)
            if token in self.stop_ids:
                text.finish = "stop"
            elif len(text.ids) >= min(max_new_tokens, room[text.prompt]):
                text.finish = "length"


def _retire(
    active: list[Text], prompts: Sequence[tuple[Sequence[int], Sequence[int]]], lanes: Sequence[Lane]
) -> list[Text]:
    """Those that go on, in their slots: the last one moves into the gap of one that ended."""
    slot = 0
    while slot < len(active):
        if not active[slot].finish:
            slot += 1
            continue
        last = active.pop()
        if slot == len(active):
            break
        active[slot] = last
        if not last.finish:
            for side, lane in enumerate(lanes):
                lane.cache.move(len(active), slot, len(prompts[last.prompt][side]) + len(last.ids) - 1)
    return active
