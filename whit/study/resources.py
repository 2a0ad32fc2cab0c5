"""How many runs fit on this machine side by side."""

import os

from whit.core.flops import Shape
from whit.core.memory import total_bytes

BYTES_PER_PARAMETER = 20  # bf16 weights 2 and once more prepacked, float32 master 4, gradient 4, two moments 8
PROCESS_BYTES = 0.7e9  # Python, torch, a chunk of logits
KEPT_BYTES = 45 * 1.3  # of a token, a layer and a unit of width, for the backward pass: SmolLM2 and the micro models
MICRO_BATCH = 4096, 1.4e9  # tokens of a micro-batch, or as many as keep so many bytes (see training/memory.py)
CACHED_TOKENS, MAX_CACHE_BYTES = 128 * 512, 2 << 30  # completions in flight, and the engine's limit


def run_memory(shape: Shape) -> float:
    """Peak bytes of one run with full-parameter training and sampling, about."""
    tokens, most = MICRO_BATCH
    kept = min(most, tokens * KEPT_BYTES * shape.num_layers * shape.width)
    cached = min(MAX_CACHE_BYTES, CACHED_TOKENS * 4 * shape.num_layers * shape.num_kv_heads * shape.head_size)
    return BYTES_PER_PARAMETER * shape.parameters + PROCESS_BYTES + kept + cached


def choose_workers(wanted: int, shape: Shape, device: str = "cpu") -> int:
    """`wanted`, or one a core as far as memory holds; one on a GPU."""
    if wanted:
        return wanted
    if device != "cpu":
        return 1
    return max(1, min(os.cpu_count() or 1, int(0.8 * total_bytes() / run_memory(shape))))
