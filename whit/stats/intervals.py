"""Intervals of one score: a mean over clustered items, and a pipeline's mean over items and seeds.

Shares take Wilson's interval at the effective number of items, mean (1 - mean) / variance: it stays inside 0 to 1 and
has width where every answer was wrong, where mean +- t x SE claims certainty. At large n and middling shares the two
agree.
"""

import math
from collections.abc import Collection, Mapping, Sequence

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import ndtri, stdtrit

from whit.core.errors import UsageError
from whit.core.types import Interval
from whit.stats.components import Array, cluster_variance, components


def clustered_mean(values: ArrayLike, groups: Sequence[object], *, level: float = 0.95) -> Interval:
    """The mean of one number per item, items of one group taken as dependent.

    values: one number per item; several samples of an item are averaged first, their noise is in the spread of items.
    0/1 values of ungrouped items take Wilson's interval; other shares the same with cluster-robust variance and
    Student's t of clusters - 1 degrees of freedom; numbers outside 0 to 1 (tokens, seconds) mean +- t x SE.
    Raises UsageError when all items are in one group.
    """
    values_I = np.asarray(values, dtype=np.float64)
    if values_I.ndim != 1 or len(values_I) != len(groups) or not len(groups):
        raise UsageError(
            f"values of shape {values_I.shape} and {len(groups)} groups: one number and one group per item."
        )
    mean = float(values_I.mean())
    if np.isin(values_I, (0.0, 1.0)).all() and len(set(groups)) == len(groups):
        return wilson(mean, len(groups), float(ndtri((1 + level) / 2)))
    variance, num_clusters = cluster_variance(values_I, groups)
    quantile = float(stdtrit(num_clusters - 1, (1 + level) / 2))
    if values_I.min() >= 0 and values_I.max() <= 1:
        return wilson(mean, _effective_size(mean, variance, num_clusters), quantile)
    return Interval(mean, mean - quantile * variance**0.5, mean + quantile * variance**0.5)


def ratio_of_sums(
    above: ArrayLike, below: ArrayLike, groups: Sequence[object] | None = None, *, level: float = 0.95
) -> Interval:
    """Sum over units of `above` through that of `below`, such as bits through bytes of texts, by the delta method.

    groups: clusters of units that vary together; None takes each for itself. One cluster alone has no interval: low and
    high are NaN.
    """
    above_N, below_N = np.asarray(above, dtype=np.float64), np.asarray(below, dtype=np.float64)
    if groups is not None:
        number = {group: place for place, group in enumerate(dict.fromkeys(groups))}
        own_N = np.array([number[group] for group in groups])
        above_N, below_N = (np.bincount(own_N, x_N).astype(np.float64) for x_N in (above_N, below_N))
    ratio, count = float(above_N.sum() / below_N.sum()), len(above_N)
    if count < 2:
        return Interval(ratio, math.nan, math.nan)
    rest_N = above_N - ratio * below_N
    error = float(np.sqrt(count / (count - 1) * (rest_N**2).sum()) / below_N.sum())
    quantile = float(stdtrit(count - 1, (1 + level) / 2))
    return Interval(ratio, ratio - quantile * error, ratio + quantile * error)


def seed_means(
    scores: Mapping[str, Array], groups_I: Sequence[object], *, fixed: Collection[str] = (), level: float = 0.95
) -> dict[str, Interval]:
    """Each pipeline's mean over seeds and items, for new seeds and new items; one interval at a time.

    Arguments as for `components`. Two of these intervals may overlap where `paired.compare` sees a difference: here the
    difficulty of the items counts, between pipelines it cancels.
    """
    parts = components(scores, groups_I, fixed=fixed)
    alone_PP = np.eye(len(parts.names))
    variances_P, df_P = parts.variances(alone_PP), parts.degrees_of_freedom(alone_PP)
    quantiles_P = stdtrit(df_P, (1 + level) / 2)
    return {
        name: wilson(float(mean), _effective_size(float(mean), float(variance), parts.num_clusters), float(quantile))
        for name, mean, variance, quantile in zip(parts.names, parts.means, variances_P, quantiles_P)
    }


def wilson(share: float, num_items: float, quantile: float) -> Interval:
    """Wilson's score interval of a share; quantile: 1.96 for 95 %. Source: Wilson 1927, JASA 22."""
    shrink = quantile**2 / num_items
    centre = (share + shrink / 2) / (1 + shrink)
    half = quantile * (share * (1 - share) / num_items + shrink / (4 * num_items)) ** 0.5 / (1 + shrink)
    # Rounding may leave an end a last bit beyond the share or beyond 0 to 1.
    return Interval(share, max(0.0, min(centre - half, share)), min(1.0, max(centre + half, share)))


def _effective_size(share: float, variance: float, num_clusters: int) -> float:
    """Independent 0/1 items that would give this variance; the number of clusters where there is no spread to go by."""
    if variance <= 0 or not 0 < share < 1:
        return num_clusters
    return share * (1 - share) / variance
