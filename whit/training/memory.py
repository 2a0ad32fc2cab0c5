"""How many tokens a micro-batch may have: measured on the model itself, held against the memory that there is.

What the backward pass keeps of a token is counted, not estimated: autograd hands over every tensor that it saves.
"""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from whit.core.errors import BudgetError
from whit.core.memory import held_bytes, total_bytes
from whit.models.attention import Packed
from whit.models.causal import CausalLM
from whit.training.optim import Optimizer

PROBE_TOKENS = 64
STATE_BYTES = 12  # of a trainable parameter: gradient and two moments, in float32; the masters are there already
USABLE_FRAC = 0.85  # of the memory: the rest is the system's and lost between blocks
BACKWARD = 1.3  # most memory of a step over what was kept for it: measured 1.2 to 1.3 (docs/LOG.md)
MIN_TOKENS = 512  # fewer rows slow the matrix products
# More tokens than these make no step faster. On a CPU a thousand are enough, and what they keep should stay small.
CPU_TOKENS, CPU_BYTES = 4096, 3 << 29
GPU_TOKENS = 32_768
# A chunk of logits and its copies: see `chunks.CHUNK_BYTES`, and `GPU_CHUNK_BYTES`, of which two in bfloat16 exist.
HEAD_BYTES, GPU_HEAD_BYTES = 5 * (64 << 20), 1 << 30


@dataclass(frozen=True)
class Memory:
    """What a training step may take.

    max_tokens: of a micro-batch. free_bytes: for what the backward pass keeps.
    token_bytes, recomputed_bytes: what it keeps of a token, without and with gradient checkpointing.
    """

    max_tokens: int
    free_bytes: float
    token_bytes: float
    recomputed_bytes: float

    def make_room(self, decoder: CausalLM, longest: int) -> None:
        """Turn gradient checkpointing on when the longest document of a step needs it.

        Raises BudgetError when that is not enough either.
        """
        if longest * self.token_bytes <= self.free_bytes or decoder.recompute:
            kept = self.recomputed_bytes if decoder.recompute else self.token_bytes
        else:
            decoder.recompute, kept = True, self.recomputed_bytes
        if longest * kept > self.free_bytes:
            raise BudgetError(
                f"one sequence of {longest:,} tokens needs {_gb(longest * kept)} to train on, beside the weights and the "
                f"optimizer, and {_gb(self.free_bytes)} are free for it: up to {int(self.free_bytes / kept):,} tokens fit. "
                "Lower max_new_tokens, leave long examples out, train adapters (lora), or take a smaller model."
            )


def plan_memory(decoder: CausalLM, optimizer: Optimizer, max_tokens: int = 0) -> Memory:
    """The length of micro-batches for this model on its device.

    max_tokens: asked for; 0 leaves it to the plan. How many runs share the memory is settled before (study/resources.py).
    Raises BudgetError when the weights and the optimizer alone do not fit.
    """
    device = next(decoder.parameters()).device
    states = STATE_BYTES * sum(p.numel() for p in optimizer.parameters)
    limit, held = _limits(device)
    head = GPU_HEAD_BYTES if device.type == "cuda" else HEAD_BYTES
    free = limit - held - states - head
    if free <= 0:
        raise BudgetError(
            f"training all of this model takes {_gb(held + states + head)} before its first token, and {_gb(limit)} "
            "of memory may be used. Train adapters (lora), use fewer workers, or take a smaller model."
        )
    asked, token_bytes = decoder.recompute, {}
    for recompute in (False, True):
        decoder.recompute = recompute
        token_bytes[recompute] = BACKWARD * kept_bytes(decoder, PROBE_TOKENS) / PROBE_TOKENS
    decoder.recompute = asked
    room = free / token_bytes[asked]
    if device.type == "cpu":
        planned = min(CPU_TOKENS, room, max(MIN_TOKENS, CPU_BYTES / token_bytes[asked]))
    else:
        planned = min(GPU_TOKENS, room)
    return Memory(max_tokens or _round(planned), free, token_bytes[False], token_bytes[True])


def kept_bytes(decoder: CausalLM, num_tokens: int) -> int:
    """What autograd saves of a forward pass over one document of so many tokens, besides the weights."""
    device = next(decoder.parameters()).device
    weights = {p.untyped_storage().data_ptr() for p in decoder.parameters()}
    kept: dict[int, tuple[int, Tensor]] = {}  # by storage; the tensor is held, or its address would be used again

    def pack(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in weights:
            kept[storage.data_ptr()] = (storage.nbytes(), tensor)
        return tensor

    tokens = torch.zeros(num_tokens, dtype=torch.long, device=device)
    with torch.enable_grad(), torch.autograd.graph.saved_tensors_hooks(pack, _same):
        decoder(tokens, torch.arange(num_tokens, device=device), Packed([num_tokens], device))
    return sum(size for size, _ in kept.values())


def _same(tensor: Any) -> Any:
    return tensor


def _limits(device: torch.device) -> tuple[float, float]:
    """Bytes that may be used in all, and those held now."""
    if device.type == "cuda":
        return USABLE_FRAC * torch.cuda.get_device_properties(device).total_memory, torch.cuda.memory_allocated(device)
    return USABLE_FRAC * total_bytes(), held_bytes()


def _round(tokens: float) -> int:
    """Down to a power of two, so that a little more or less memory held does not change what is computed together."""
    return 1 << (int(max(1, tokens)).bit_length() - 1)


def _gb(size: float) -> str:
    return f"{size / 2**30:.1f} GiB"
