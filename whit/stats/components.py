"""Where the uncertainty of a study's scores comes from: a draw of items, and draws of training seeds.

Model, for pipeline p, seed s, item i: score = mean_p + item_i + item_by_pipeline_pi + seed_ps + residual_psi, with item
terms and residuals correlated inside a cluster of items and pipelines trained independently. Then

    cov(mean_p, mean_q) = items_pq + [p = q] seeds_p / num_seeds_p

items_pq is the cluster-robust covariance of the scores averaged over seeds. It already holds residual / num_seeds, and so
does the variance between seed means; `seeds` is therefore that variance less the residual's part, which is counted once.
This is the two-way clustered variance (items + seeds - their intersection; Cameron, Gelbach, Miller 2011), with one
addition: a variance from three seeds decides by lottery, so it is moderated towards the study's pooled value.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from whit.core.errors import DataError, UsageError

Array = NDArray[np.float64]

PRIOR_DF = 2.0
"""Weight of the study's pooled seed variance, in seeds less one, against a pipeline's own (limma's prior df, here fixed:
five variances of two degrees of freedom cannot estimate it). Chosen by `whit.stats.simulation`."""


@dataclass(frozen=True, slots=True, eq=False)
class Components:
    """Means and variance components of the P pipelines of one study, in alphabetical order.

    items_PP: covariance of the means from the draw of items, seeds averaged.
    seeds_P: moderated variance of a seed effect; 0 for fixed pipelines.
    noise_P: variance of one seed's mean from its residuals; inside items_PP as noise / num_seeds.
    df_P: degrees of freedom of seeds_P + noise_P.
    """

    names: tuple[str, ...]
    means_P: Array
    items_PP: Array
    seeds_P: Array
    noise_P: Array
    num_seeds_P: Array
    df_P: Array
    num_clusters: int

    def variances(self, contrasts_CP: Array) -> Array:
        """Variance of each contrast of the means, such as a - b."""
        return self._item_variances(contrasts_CP) + contrasts_CP**2 @ (self.seeds_P / self.num_seeds_P)

    def degrees_of_freedom(self, contrasts_CP: Array) -> Array:
        """Satterthwaite's degrees of freedom of `variances`; at least 1."""
        seeds_CP = contrasts_CP**2 * (self.seeds_P + self.noise_P) / self.num_seeds_P
        spread_C = self._item_variances(contrasts_CP) ** 2 / (self.num_clusters - 1) + seeds_CP**2 @ (1 / self.df_P)
        df_C = np.full(len(contrasts_CP), self.num_clusters - 1.0)
        np.divide(self.variances(contrasts_CP) ** 2, spread_C, out=df_C, where=spread_C > 0)
        return np.maximum(df_C, 1.0)

    def _item_variances(self, contrasts_CP: Array) -> Array:
        variances_C: Array = np.einsum("cp,pq,cq->c", contrasts_CP, self.items_PP, contrasts_CP)
        return np.maximum(variances_C, 0.0)  # rounding can leave a contrast of equal pipelines just below zero

    def draw_errors(self, num_draws: int, rng: np.random.Generator) -> Array:
        """Errors of the means [num_draws, P], each drawn after its variances, given the estimates of those.

        A variance is the estimate times df / chi-square (Behrens 1929), so a small one from few seeds may turn out large:
        errors drawn at the estimates themselves make families too narrow, most where the estimate fell short.
        """
        size = (num_draws, len(self.names))
        roots_P, axes_PP = np.linalg.eigh(self.items_PP)
        half_PP = (axes_PP * np.sqrt(np.maximum(roots_P, 0.0))) @ axes_PP.T
        items_df = self.num_clusters - 1
        items_B1 = np.sqrt(items_df / rng.chisquare(items_df, (num_draws, 1)))
        seeds_BP = (self.seeds_P + self.noise_P) * self.df_P / rng.chisquare(self.df_P, size) - self.noise_P
        spreads_BP = np.sqrt(np.maximum(seeds_BP, 0.0) / self.num_seeds_P)
        return items_B1 * (rng.standard_normal(size) @ half_PP) + spreads_BP * rng.standard_normal(size)


def components(
    scores: Mapping[str, Array], groups_I: Sequence[object], *, fixed: Collection[str] = ()
) -> Components:
    """The variance components of a study.

    scores: for each pipeline a matrix [seeds, items] of shares in 0 to 1 (mean@n, pass@k), the same items for all.
    groups_I: cluster of each item, such as `Example.group`.
    fixed: pipelines that train nothing, hence without seed variance.
    Raises UsageError when a pipeline is trained and none has two seeds: seed variance is then unknown.
    """
    names = tuple(sorted(scores))
    matrices = [_checked(name, scores[name], len(groups_I)) for name in names]
    if unknown := set(fixed) - set(names):
        raise UsageError(f"fixed: {sorted(unknown)} are not among the pipelines {list(names)}.")
    starts_G, order_I = _clusters(groups_I)
    means_PI = np.stack([matrix.mean(0) for matrix in matrices])
    means_P = means_PI.mean(1)
    num_seeds_P = np.array([len(matrix) for matrix in matrices], dtype=np.float64)

    sums_PG = np.add.reduceat((means_PI - means_P[:, None])[:, order_I], starts_G, axis=1)
    scale = _correction(len(starts_G)) / len(groups_I) ** 2
    items_PP = scale * sums_PG @ sums_PG.T

    own_df_P, own_P, noise_P = np.zeros((3, len(names)))
    for p, matrix in enumerate(matrices):
        if names[p] in fixed or len(matrix) == 1:
            continue
        own_df_P[p] = len(matrix) - 1
        seed_means_S = matrix.mean(1)
        residuals_SI = matrix - means_PI[p] - seed_means_S[:, None] + means_P[p]
        noise_P[p] = scale * (np.add.reduceat(residuals_SI[:, order_I], starts_G, axis=1) ** 2).sum() / own_df_P[p]
        own_P[p] = seed_means_S.var(ddof=1) - noise_P[p]
    trained_P = np.array([name not in fixed for name in names])
    seeds_P, df_P = _moderated(own_P, own_df_P, trained_P)
    return Components(names, means_P, items_PP, seeds_P, noise_P, num_seeds_P, df_P, len(starts_G))


def cluster_variance(values_I: Array, groups_I: Sequence[object]) -> tuple[float, int]:
    """Cluster-robust variance of the mean of `values_I`, and the number of clusters."""
    starts_G, order_I = _clusters(groups_I)
    sums_G = np.add.reduceat((values_I - values_I.mean())[order_I], starts_G)
    return float(_correction(len(starts_G)) * (sums_G**2).sum() / len(values_I) ** 2), len(starts_G)


def _checked(name: str, matrix: Array, num_items: int) -> Array:
    matrix = np.asarray(matrix, dtype=np.float64)
    if matrix.ndim != 2 or matrix.shape[0] == 0 or matrix.shape[1] != num_items:
        raise UsageError(f"{name}: scores of shape {matrix.shape}, but [seeds, {num_items} items] is needed.")
    if not (np.isfinite(matrix).all() and matrix.min() >= 0 and matrix.max() <= 1):
        raise DataError(f"{name}: scores must be shares from 0 to 1. A failed seed counts with its last checkpoint.")
    return matrix


def _clusters(groups_I: Sequence[object]) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Where each cluster starts once the items are put in the returned order."""
    order_of_label = {label: number for number, label in enumerate(dict.fromkeys(groups_I))}
    labels_I = np.array([order_of_label[label] for label in groups_I])
    order_I = np.argsort(labels_I, kind="stable")
    starts_G = np.flatnonzero(np.diff(labels_I[order_I], prepend=-1))
    return starts_G, order_I


def _correction(num_clusters: int) -> float:
    if num_clusters < 2:
        raise UsageError(
            "All items are in one cluster, so nothing says how much clusters differ. "
            "Give items of at least two groups, or each item its own group."
        )
    return num_clusters / (num_clusters - 1)


def _moderated(own_P: Array, own_df_P: Array, trained_P: NDArray[np.bool_]) -> tuple[Array, Array]:
    """Seed variances shrunk towards their pooled value, never below 0, with degrees of freedom as in limma."""
    pooled_df = own_df_P.sum()
    if not trained_P.any():
        return np.zeros_like(own_P), np.ones_like(own_P)
    if pooled_df == 0:
        raise UsageError(
            "No pipeline was trained with two seeds, so the variance of training is unknown. "
            "Run a second seed of at least one pipeline, or name in `fixed` those that train nothing."
        )
    pooled = (own_P * own_df_P).sum() / pooled_df
    moderated_P = (own_P * own_df_P + pooled * PRIOR_DF) / (own_df_P + PRIOR_DF)
    # A pipeline cannot borrow more degrees of freedom than the whole study has.
    df_P = np.minimum(own_df_P + PRIOR_DF, pooled_df)
    return np.where(trained_P, np.maximum(moderated_P, 0.0), 0.0), df_P
