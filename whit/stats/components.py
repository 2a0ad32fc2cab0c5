"""Where the uncertainty of a study's scores comes from: a draw of items, and draws of training seeds.

Model, for pipeline p, seed s, item i: score = mean_p + item_i + item_by_pipeline_pi + seed_ps + residual_psi, with item
terms and residuals correlated inside a cluster of items, and pipelines trained independently. Then

    cov(mean_p, mean_q) = items_pq + [p = q] seed_variance_p / num_seeds_p

items_pq is the cluster-robust covariance of the scores averaged over seeds; it already holds residual / num_seeds. The
variance between seed means holds the same, so `seed_variance` is that variance less the residual's part. This is
two-way clustering (items + seeds - their intersection; Cameron, Gelbach, Miller 2011) with one addition: a variance
from three seeds decides by lottery, so it is moderated towards the study's pooled value.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import chdtri

from whit.core.errors import DataError, UsageError

Array = NDArray[np.float64]

# Both chosen by `whit.stats.simulation`: a larger PRIOR_DF hardly narrows intervals (4: by 2 %) and raises false alarms
# when one pipeline is much noisier; without CAUTION equal pipelines at three seeds are told apart in 7 of 100 studies.
PRIOR_DF = 1.0
"""Weight of the pooled seed variance in units of a pipeline's own seeds less one: the prior df of limma, which is fixed
here because a handful of variances cannot estimate it."""
CAUTION = 0.75
"""One-sided confidence of the pooled seed variance that degrees of freedom and simultaneous bounds assume."""


@dataclass(frozen=True, slots=True, eq=False)
class Components:
    """Means [P] and variance components of the P pipelines of one study, in alphabetical order.

    items: covariance [P, P] of the means from the draw of items, seeds averaged.
    noise: variance [P] of one seed's mean from its residuals; already inside items, as noise / num_seeds.
    seed_variance: [P], of a seed effect, moderated; 0 for fixed pipelines.
    cautious: seed_variance, but never below the pooled value at the confidence CAUTION. A variance that came out small
        by chance would otherwise narrow its interval twice: by the standard error and by the degrees of freedom.
    own_df: seeds less one [P]; 0 for fixed pipelines.
    """

    names: tuple[str, ...]
    means: Array
    items: Array
    noise: Array
    seed_variance: Array
    cautious: Array
    own_df: Array
    num_seeds: Array
    num_clusters: int
    num_items: int

    def variances(self, contrasts_CP: Array) -> Array:
        """Variance of each contrast of the means, such as a - b."""
        variances_C: Array = contrasts_CP**2 @ (self.seed_variance / self.num_seeds)
        return variances_C + self._item_variances(contrasts_CP)

    def divided_by_seeds(self, contrasts_CP: Array) -> Array:
        """The part of `variances` that more seeds would divide: the luck of trainings and that of sampled answers."""
        variances_C: Array = contrasts_CP**2 @ ((self.seed_variance + self.noise) / self.num_seeds)
        return variances_C

    def degrees_of_freedom(self, contrasts_CP: Array) -> Array:
        """Satterthwaite's degrees of freedom of `variances`; at least 1."""
        # Moderation adds the prior's, but no pipeline can borrow more than the whole study has.
        seeds_df_P = np.clip(self.own_df + PRIOR_DF, 1.0, max(1.0, self.own_df.sum()))
        items_C, weights_CP = self._item_variances(contrasts_CP), contrasts_CP**2 / self.num_seeds
        total_C = items_C + weights_CP @ self.cautious
        estimated_CP = weights_CP * (self.cautious + self.noise)
        spread_C = items_C**2 / (self.num_clusters - 1) + estimated_CP**2 @ (1 / seeds_df_P)
        df_C: Array = np.full(len(contrasts_CP), self.num_clusters - 1.0)
        np.divide(total_C**2, spread_C, out=df_C, where=spread_C > 0)
        return df_C.clip(1.0)

    def redraw(self, contrasts_CP: Array, num_draws: int, rng: np.random.Generator) -> tuple[Array, Array]:
        """Errors and estimated variances [num_draws, C] of studies with these components, estimated as these were."""
        size = (num_draws, len(self.names))
        roots_P, axes_PP = np.linalg.eigh(self.items + np.diag(self.cautious / self.num_seeds))
        half_PP = (axes_PP * np.sqrt(np.maximum(roots_P, 0.0))) @ axes_PP.T
        errors_BC = rng.standard_normal(size) @ half_PP @ contrasts_CP.T

        items_B = rng.chisquare(self.num_clusters - 1, num_draws) / (self.num_clusters - 1)
        df_P = np.maximum(self.own_df, 1.0)
        own_BP = (self.cautious + self.noise) * rng.chisquare(df_P, size) / df_P - self.noise
        seeds_BP = _moderated(own_BP, self.own_df, self.cautious > 0)
        variances_BC = np.outer(items_B, self._item_variances(contrasts_CP))
        return errors_BC, variances_BC + (seeds_BP / self.num_seeds) @ (contrasts_CP**2).T

    def _item_variances(self, contrasts_CP: Array) -> Array:
        # Rounding can leave the contrast of two equal pipelines just below zero.
        variances_C: Array = np.maximum(((contrasts_CP @ self.items) * contrasts_CP).sum(1), 0.0)
        return variances_C


def components(scores: Mapping[str, Array], groups_I: Sequence[object], *, fixed: Collection[str] = ()) -> Components:
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
    if trained_P.any() and not own_df_P.any():
        raise UsageError(
            "No pipeline was trained with two seeds, so the variance of training is unknown. "
            "Run a second seed of at least one pipeline, or name in `fixed` those that train nothing."
        )
    seeds_P = _moderated(own_P, own_df_P, trained_P)
    pooled_df = max(1.0, own_df_P.sum())
    pooled_P = ((own_P + noise_P) @ own_df_P) / float(chdtri(pooled_df, CAUTION)) - noise_P
    cautious_P = np.where(trained_P, np.maximum(seeds_P, pooled_P), 0.0)
    return Components(
        names,
        means_P,
        items_PP,
        noise_P,
        seeds_P,
        cautious_P,
        own_df_P,
        num_seeds_P,
        num_clusters=len(starts_G),
        num_items=len(groups_I),
    )


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


def _moderated(own_xP: Array, own_df_P: Array, trained_P: NDArray[np.bool_]) -> Array:
    """Seed variances shrunk towards their pooled value; at least 0, and 0 if untrained."""
    pooled_x1 = (own_xP * own_df_P).sum(-1, keepdims=True) / max(1.0, own_df_P.sum())
    moderated_xP = (own_xP * own_df_P + pooled_x1 * PRIOR_DF) / (own_df_P + PRIOR_DF)
    return np.where(trained_P, np.maximum(moderated_xP, 0.0), 0.0)
