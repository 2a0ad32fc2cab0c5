"""Learning rate as a share of its peak, over `progress`: the part of the stage's budget that is spent, 0 to 1."""

import math
from typing import Literal

Schedule = Literal["constant", "linear", "cosine", "wsd"]


def rate(schedule: Schedule, progress: float, *, warmup: float, final: float = 0.0, decay: float = 0.2) -> float:
    """The share of the peak learning rate.

    warmup: part of the budget over which the rate rises from near 0 in a straight line.
    final: share at the end of "linear", "cosine" and "wsd".
    decay: "wsd" (warm-up, stable, decay) holds the peak until this last part, then falls in a straight line.
    """
    if progress < warmup:
        return max(progress / warmup, 0.01)
    after = (progress - warmup) / (1 - warmup) if warmup < 1 else 1.0
    match schedule:
        case "constant":
            return 1.0
        case "linear":
            return 1.0 - (1.0 - final) * after
        case "cosine":
            return final + (1.0 - final) * 0.5 * (1 + math.cos(math.pi * after))
        case "wsd":
            return 1.0 if progress < 1 - decay else final + (1.0 - final) * (1 - progress) / decay
