"""Planning a study: which difference of two pipelines it can see, and how many seeds or items a difference needs.

The variance of a difference of two means over N items and S seeds a pipeline, K answers an item, is

    (item_variance + 2 answer_variance / (K S)) / N + 2 seed_spread^2 / S

It is found with the given power when it reaches z = z_level + z_power standard errors. Normal quantiles: with three
seeds the smallest difference is rather a tenth larger. For C comparisons in one family give level = 1 - 0.05 / C.
Source: arXiv:2411.00640, with the seed term added.
"""

import math
from dataclasses import dataclass

from scipy.special import ndtri

from whit.core.errors import UsageError


@dataclass(frozen=True, slots=True)
class Spread:
    """What makes differences uncertain, in shares of 1.

    item_variance: over items, of the difference between two pipelines' true chances.
    answer_variance: mean of p (1 - p) over items, p the chance of a correct answer; 1/6 when p is uniform.
    seed_spread: standard deviation over training seeds of a pipeline's accuracy; 0 when nothing is trained.
    """

    item_variance: float
    answer_variance: float
    seed_spread: float


TYPICAL = Spread(item_variance=1 / 9, answer_variance=1 / 6, seed_spread=0.01)
"""Before a study has its own: the first two give the published points of arXiv:2411.00640, the third is a guess."""


def smallest_detectable_difference(
    num_items: int,
    num_seeds: int,
    *,
    num_samples: int = 4,
    spread: Spread = TYPICAL,
    level: float = 0.95,
    power: float = 0.8,
) -> float:
    """The difference of two accuracies, as a share, that a study of this size finds with chance `power`.

    num_items: independent items; give the number of clusters when items of a group rise and fall together.
    """
    by_items = _item_term(num_samples * num_seeds, spread) / num_items
    return math.sqrt(_factor(level, power) * (by_items + 2 * spread.seed_spread**2 / num_seeds))


def seeds_needed(
    difference: float,
    num_items: int,
    *,
    num_samples: int = 4,
    spread: Spread = TYPICAL,
    level: float = 0.95,
    power: float = 0.8,
) -> int | None:
    """The fewest seeds a pipeline that find `difference`; None when no number does, because the items are too few."""
    left = _wanted_variance(difference, level, power) - spread.item_variance / num_items
    if left <= 0:
        return None
    return max(1, _round_up(2 * (spread.answer_variance / (num_samples * num_items) + spread.seed_spread**2) / left))


def items_needed(
    difference: float,
    num_seeds: int,
    *,
    num_samples: int = 4,
    spread: Spread = TYPICAL,
    level: float = 0.95,
    power: float = 0.8,
) -> int | None:
    """The fewest items that find `difference`; None when no number does, because the seeds are too few."""
    left = _wanted_variance(difference, level, power) - 2 * spread.seed_spread**2 / num_seeds
    if left <= 0:
        return None
    return max(1, _round_up(_item_term(num_samples * num_seeds, spread) / left))


def _item_term(samples_of_item: int, spread: Spread) -> float:
    return spread.item_variance + 2 * spread.answer_variance / samples_of_item


def _wanted_variance(difference: float, level: float, power: float) -> float:
    if difference <= 0:
        raise UsageError(f"difference={difference}: only a difference above 0 can be found.")
    return difference**2 / _factor(level, power)


def _factor(level: float, power: float) -> float:
    return (float(ndtri((1 + level) / 2)) + float(ndtri(power))) ** 2  # 7.849 at 95 % and 80 %


def _round_up(number: float) -> int:
    """The next whole number, forgiving the last bits of one that is whole."""
    return math.floor(number) if number - math.floor(number) < 1e-9 else math.ceil(number)
