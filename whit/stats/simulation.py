"""Proof of `paired` by simulation: how often its intervals hold the truth when the truth is known.

    python -m whit.stats.simulation --studies 2000 --seeds 3

A study has P pipelines trained on S seeds each and tested on clustered items with K answers an item. On a probit scale

    score_psi = intercept_p + cluster + item + cluster x pipeline + item x pipeline + seed + item x seed

with seed noise that differs between pipelines; answers are Bernoulli. A normal sum under the probit link has a known
mean, so a pipeline's true accuracy, over all items and seeds, is exact.
"""

import argparse
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations

import numpy as np
from scipy.special import ndtr, ndtri, stdtrit

from whit.core.seeds import key64
from whit.stats.components import Array
from whit.stats.paired import Comparison, compare, compare_to_reference


@dataclass(frozen=True, slots=True)
class Design:
    """How studies are drawn. Spreads are standard deviations on the probit scale; 0.1 there is about 3 points.

    accuracies: true accuracy of each pipeline; p0, p1, ... are their names, p0 the reference.
    seed_spreads: of each pipeline; the defaults move a seed's accuracy by 0.8 to 2.5 points.
    """

    accuracies: tuple[float, ...] = (0.40, 0.40, 0.40, 0.42, 0.44, 0.46)
    seed_spreads: tuple[float, ...] = (0.03, 0.09, 0.05, 0.03, 0.09, 0.06)
    num_seeds: int = 3
    num_items: int = 300
    cluster_size: int = 3
    num_samples: int = 4
    cluster_spread: float = 0.6
    item_spread: float = 0.6
    cluster_pipeline_spread: float = 0.2
    item_pipeline_spread: float = 0.3
    item_seed_spread: float = 0.3


Compare = Callable[[Mapping[str, Array], Sequence[object]], Sequence[Comparison]]


@dataclass(frozen=True, slots=True)
class Coverage:
    """Shares of the studies in which something held; simultaneous and false_alarms are about the whole family.

    simultaneous: every interval held the truth.
    each: the comparison's own interval, difference +- t x standard error, held it; by (a, b).
    false_alarms: a simultaneous interval between pipelines of equal true accuracy left out 0.
    """

    simultaneous: float
    each: dict[tuple[str, str], float]
    false_alarms: float


def coverage(num_studies: int, design: Design, method: Compare, *, seed: int = 0) -> Coverage:
    """Draw `num_studies` studies, compare their pipelines by `method`, count how often its intervals hold the truth."""
    truth = dict(zip(_names(design), design.accuracies))
    all_hold, alarms = 0, 0
    holds: Counter[tuple[str, str]] = Counter()
    for number in range(num_studies):
        rows = method(*draw_study(design, np.random.default_rng(key64(seed, "study", number))))
        true = [truth[row.a] - truth[row.b] for row in rows]
        inside = [row.difference.low <= value <= row.difference.high for row, value in zip(rows, true)]
        all_hold += all(inside)
        alarms += any(value == 0 and not held for held, value in zip(inside, true))
        holds.update(
            (row.a, row.b)
            for row, value in zip(rows, true)
            if abs(row.difference.estimate - value) <= stdtrit(row.df, 0.975) * row.standard_error
        )
    each = {pair: count / num_studies for pair, count in sorted(holds.items())}
    return Coverage(all_hold / num_studies, each, alarms / num_studies)


def draw_study(design: Design, rng: np.random.Generator) -> tuple[dict[str, Array], list[int]]:
    """Scores [seeds, items] (mean@K) of each pipeline, and the cluster of each item."""
    clusters_I = np.arange(design.num_items) // design.cluster_size
    num_clusters = int(clusters_I[-1]) + 1
    shared_I = design.cluster_spread * rng.standard_normal(num_clusters)[clusters_I]
    shared_I += design.item_spread * rng.standard_normal(design.num_items)
    scores = {}
    for name, accuracy, seed_spread in zip(_names(design), design.accuracies, design.seed_spreads):
        own_I = design.cluster_pipeline_spread * rng.standard_normal(num_clusters)[clusters_I]
        own_I += design.item_pipeline_spread * rng.standard_normal(design.num_items)
        seed_S1 = seed_spread * rng.standard_normal((design.num_seeds, 1))
        residual_SI = design.item_seed_spread * rng.standard_normal((design.num_seeds, design.num_items))
        intercept = ndtri(accuracy) * (1 + _total_variance(design, seed_spread)) ** 0.5
        chance_SI = ndtr(intercept + shared_I + own_I + seed_S1 + residual_SI)
        scores[name] = rng.binomial(design.num_samples, chance_SI) / design.num_samples
    return scores, clusters_I.tolist()


def _names(design: Design) -> list[str]:
    return [f"p{number}" for number in range(len(design.accuracies))]


def _total_variance(design: Design, seed_spread: float) -> float:
    spreads = (
        design.cluster_spread,
        design.item_spread,
        design.cluster_pipeline_spread,
        design.item_pipeline_spread,
        design.item_seed_spread,
        seed_spread,
    )
    return sum(spread**2 for spread in spreads)


def main(arguments: Sequence[str] | None = None) -> None:
    """Print coverage of studies with differences, and false alarms of studies whose pipelines are all equal."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--studies", type=int, default=2000)
    parser.add_argument("--seeds", type=int, default=3, help="training seeds a pipeline")
    parser.add_argument("--items", type=int, default=Design().num_items)
    options = parser.parse_args(arguments)

    apart = replace(Design(), num_seeds=options.seeds, num_items=options.items)
    equal = replace(apart, accuracies=(0.4,) * len(apart.accuracies))
    print(
        f"{options.studies} studies x {len(apart.accuracies)} pipelines x {options.seeds} seeds x {options.items} items"
    )
    print("pipelines   family         simultaneous  one by one (lowest, highest)  false alarms")
    for label, design in [("different", apart), ("equal", equal)]:
        for family, method in [("to reference", _to_reference), ("all pairs", _all_pairs)]:
            result = coverage(options.studies, design, method)
            shares = list(result.each.values())
            print(
                f"{label:<10}  {family:<13} {result.simultaneous:12.1%}  {np.mean(shares):10.1%}"
                f" ({min(shares):.1%}, {max(shares):.1%})  {result.false_alarms:16.1%}",
                flush=True,
            )


def _to_reference(scores: Mapping[str, Array], groups_I: Sequence[object]) -> Sequence[Comparison]:
    return compare_to_reference(scores, groups_I, "p0")


def _all_pairs(scores: Mapping[str, Array], groups_I: Sequence[object]) -> Sequence[Comparison]:
    return compare(scores, groups_I, list(combinations(scores, 2)))


if __name__ == "__main__":
    main()
