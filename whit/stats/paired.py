"""Differences between pipelines, paired by item, with seed variance, simultaneous over comparisons named beforehand.

Each difference has a standard error and Satterthwaite degrees of freedom from `components`. The family shares one bound
(max-t), found by redrawing the study many times under its own components: 95 % of the redrawn families stay within it.
Statistics of unequal degrees of freedom are put on the normal scale first, so that none of them sets the bound alone.
"""

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from scipy.special import ndtri

from whit.core.errors import UsageError, did_you_mean
from whit.core.seeds import key64
from whit.core.types import Interval
from whit.stats.components import Array, Components, components

MOST = 40  # times the seeds or items of a study: more is no answer
NUM_DRAWS = 10_000
"""Redrawn studies behind a family's bound: the standard error of its level is 0.2 points at 95 %."""


@dataclass(frozen=True, slots=True)
class Comparison:
    """Score of a minus score of b.

    difference: with an interval that holds at the same time as those of the whole family.
    standard_error, df: of this difference alone. seed_share, item_share: parts of its
        variance that more seeds, and more items, would divide; the luck of a sampled answer is in both.
    p_value: adjusted for the family; below 1 - level where the interval leaves out 0.
    """

    a: str
    b: str
    difference: Interval
    standard_error: float
    df: float
    p_value: float
    seed_share: float
    item_share: float

    def splitting(self, num_seeds: int, num_items: int, power: float = 0.8) -> tuple[int | None, int | None]:
        """Seeds, and items, with which a difference of this size would leave zero out with chance `power`.

        num_seeds, num_items: of this study; the other number stays as it is. None where MOST times as many are not enough.
        The family's bound narrows with the degrees of freedom that more seeds bring.
        """
        size, error = abs(self.difference.estimate), self.standard_error
        bound = (self.difference.high - self.difference.estimate) / error
        z = float(_normal_scale(np.array(bound), np.array(self.df)))

        def finds(seeds: int, items: int) -> bool:
            variance = error**2 * (1 - self.seed_share + self.seed_share * num_seeds / seeds)
            variance -= error**2 * self.item_share * (1 - num_items / items)
            df = self.df * max(1.0, (seeds - 1) / max(1, num_seeds - 1))
            return size >= (float(_t_scale(z, np.array(df))) + float(ndtri(power))) * math.sqrt(max(variance, 0.0))

        seeds = next((s for s in range(num_seeds, MOST * num_seeds) if finds(s, num_items)), None)
        steps = range(num_items, MOST * num_items, max(1, num_items // 50))
        return seeds, next((n for n in steps if finds(num_seeds, n)), None)


def compare(
    scores: Mapping[str, Array],
    groups_I: Sequence[object],
    pairs: Sequence[tuple[str, str]],
    *,
    fixed: Collection[str] = (),
    level: float = 0.95,
) -> tuple[Comparison, ...]:
    """The comparisons (a, b) of `pairs`, which are the family: name them before looking at the scores.

    scores, groups_I, fixed: as for `components`. Seeds of two pipelines are independent, whatever their numbers.
    """
    return _compare(components(scores, groups_I, fixed=fixed), pairs, level)


def compare_to_reference(
    scores: Mapping[str, Array],
    groups_I: Sequence[object],
    reference: str,
    *,
    fixed: Collection[str] = (),
    level: float = 0.95,
) -> tuple[Comparison, ...]:
    """Every other pipeline against `reference`, in the order of `scores`."""
    pairs = [(name, reference) for name in scores if name != reference]
    return compare(scores, groups_I, pairs, fixed=fixed, level=level)


def compare_to_best(
    scores: Mapping[str, Array], groups_I: Sequence[object], *, fixed: Collection[str] = (), level: float = 0.95
) -> tuple[Comparison, ...]:
    """Every other pipeline against the best of these scores, best first.

    The best is known only after looking, so the family is all pairs: with the smaller family against a fixed
    reference, equal pipelines would be told apart in far more than 1 - level of the studies.
    """
    parts = components(scores, groups_I, fixed=fixed)
    best, *others = _ranked(parts)
    every_pair = list(combinations([best, *others], 2))
    flipped = [(b, a) for a, b in every_pair]
    return _compare(parts, flipped, level)[: len(others)]


def shortlist(
    scores: Mapping[str, Array], groups_I: Sequence[object], *, fixed: Collection[str] = (), level: float = 0.95
) -> tuple[str, ...]:
    """The best pipeline and all that simultaneous intervals against it cannot exclude, best first."""
    comparisons = compare_to_best(scores, groups_I, fixed=fixed, level=level)
    best = comparisons[0].b if comparisons else next(iter(scores))
    return (best, *(row.a for row in comparisons if row.difference.high >= 0))


def _compare(parts: Components, pairs: Sequence[tuple[str, str]], level: float) -> tuple[Comparison, ...]:
    if not pairs:
        return ()
    contrasts_CP = np.stack([_contrast(parts.names, a, b) for a, b in pairs])
    # Two pipelines that never differ are not known to be equal: as if one item had changed hands.
    least, variances_C = 1.0 / parts.num_items**2, parts.variances(contrasts_CP)
    errors_C = np.sqrt(np.maximum(variances_C, least))
    df_C = parts.degrees_of_freedom(contrasts_CP)
    differences_C = contrasts_CP @ parts.means
    of_seeds_C = np.minimum(1.0, parts.divided_by_seeds(contrasts_CP) / errors_C**2)
    of_items_C = np.clip(1.0 - contrasts_CP**2 @ (parts.seed_variance / parts.num_seeds) / errors_C**2, 0.0, 1.0)

    rng = np.random.default_rng(key64(0, "max_t"))
    drawn_BC, variances_BC = parts.redraw(contrasts_CP, NUM_DRAWS, rng)
    lack_C = np.maximum(
        least - variances_C, 0.0
    )  # drawn beside what is known to vary, with a variance that is estimated
    drawn_BC += np.sqrt(lack_C) * rng.normal(size=drawn_BC.shape)
    guessed_BC = np.maximum(variances_BC, 0.0) + lack_C * rng.chisquare(df_C, drawn_BC.shape) / df_C
    errors_BC = np.sqrt(np.where(lack_C > 0, guessed_BC, np.maximum(variances_BC, least)))
    largest_B = np.sort(_normal_scale(drawn_BC / errors_BC, df_C).max(1))
    quantile = float(np.quantile(largest_B, level))
    quantiles_C = _t_scale(quantile, df_C)
    num_beyond_C = NUM_DRAWS - np.searchsorted(largest_B, _normal_scale(differences_C / errors_C, df_C))
    p_values_C = (1 + num_beyond_C) / (1 + NUM_DRAWS)
    lows_C, highs_C = differences_C - quantiles_C * errors_C, differences_C + quantiles_C * errors_C
    columns = (differences_C, lows_C, highs_C, errors_C, df_C, p_values_C, of_seeds_C, of_items_C)
    rows = zip(pairs, np.stack(columns, axis=1).tolist(), strict=True)
    return tuple(Comparison(a, b, Interval(*numbers[:3]), *numbers[3:]) for (a, b), numbers in rows)


def _contrast(names: Sequence[str], a: str, b: str) -> Array:
    for name in (a, b):
        if name not in names:
            raise UsageError(f"No pipeline is called '{name}'.{did_you_mean(name, names)}")
    if a == b:
        raise UsageError(f"'{a}' is compared with itself.")
    contrast_P = np.zeros(len(names))
    contrast_P[names.index(a)], contrast_P[names.index(b)] = 1.0, -1.0
    return contrast_P


def _ranked(parts: Components) -> list[str]:
    """Names from the highest mean to the lowest, ties in alphabetical order."""
    return [parts.names[p] for p in np.argsort(-parts.means, kind="stable")]


def _normal_scale(t: Array, df_C: Array) -> Array:
    """The |z| about as extreme as Student's t. Source: Wallace 1959, Ann. Math. Stat. 30."""
    z: Array = (8 * df_C + 1) / (8 * df_C + 3) * np.sqrt(df_C * np.log1p(t**2 / df_C))
    return z


def _t_scale(z: float, df_C: Array) -> Array:
    """Inverse of `_normal_scale`."""
    t: Array = np.sqrt(df_C * np.expm1((z * (8 * df_C + 3) / (8 * df_C + 1)) ** 2 / df_C))
    return t
