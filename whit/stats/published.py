"""What published accuracies support: scores of one sample a question, of which only the totals are known.

Without the items nothing can be paired and without seeds nothing is known of training: intervals are too narrow for a
claim about a method, and wide enough to refuse most claims. Source: Holm 1979, Scand. J. Stat. 6.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from scipy.special import ndtr

from whit.core.errors import UsageError


@dataclass(frozen=True, slots=True)
class Published:
    """accuracy: a share. num_items: questions, one sample each."""

    accuracy: float
    num_items: int

    def __post_init__(self) -> None:
        if not 0 <= self.accuracy <= 1 or self.num_items < 1:
            raise UsageError(
                f"accuracy={self.accuracy} of {self.num_items} items: give a share, and at least one item."
            )


@dataclass(frozen=True, slots=True)
class Claim:
    """a minus b: z of the unpaired difference, its two-sided p-value, and whether Holm's procedure rejects equality."""

    difference: float
    z: float
    p_value: float
    is_significant: bool


def claims(pairs: Sequence[tuple[Published, Published]], *, level: float = 0.95) -> list[Claim]:
    """What the differences a - b of one family support, in the order of `pairs`."""
    differences = [a.accuracy - b.accuracy for a, b in pairs]
    zs = [_z(a, b) for a, b in pairs]
    p_values = [2 * float(ndtr(-abs(z))) for z in zs]
    order = sorted(range(len(pairs)), key=p_values.__getitem__)
    rejected: set[int] = set()
    for rank, index in enumerate(order):
        if p_values[index] > (1 - level) / (len(pairs) - rank):
            break
        rejected.add(index)
    return [Claim(d, z, p, i in rejected) for i, (d, z, p) in enumerate(zip(differences, zs, p_values, strict=True))]


def _z(a: Published, b: Published) -> float:
    variance = sum(s.accuracy * (1 - s.accuracy) / s.num_items for s in (a, b))
    difference = a.accuracy - b.accuracy
    if variance == 0:
        return 0.0 if difference == 0 else math.copysign(math.inf, difference)
    return difference / math.sqrt(variance)
