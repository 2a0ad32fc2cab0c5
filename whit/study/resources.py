"""How many runs fit on this machine side by side."""

import os

from whit.core.flops import Shape

BYTES_PER_PARAMETER = 18  # bf16 weights 2, float32 master 4, gradient 4, two moments 8
PROCESS_BYTES = 1.2e9  # Python, torch, activations of a micro-batch and the sampler's cache, about


def run_memory(shape: Shape) -> float:
    """Peak bytes of one run with full-parameter training, about."""
    return BYTES_PER_PARAMETER * shape.parameters + PROCESS_BYTES


def choose_workers(wanted: int, shape: Shape, device: str = "cpu") -> int:
    """`wanted`, or one a core as far as memory holds; one on a GPU."""
    if wanted:
        return wanted
    if device != "cpu":
        return 1
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return max(1, min(os.cpu_count() or 1, int(0.8 * memory / run_memory(shape))))
