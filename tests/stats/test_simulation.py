"""Coverage in short form; `python -m whit.stats.simulation` is the long one.

The tolerances are three standard errors of a few hundred studies around 95 %; the naive method fails them by far.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from whit.core.types import Interval
from whit.stats.intervals import clustered_mean
from whit.stats.paired import Comparison, compare_to_reference
from whit.stats.simulation import Design, coverage, draw_study, main

NUM_STUDIES = 250
EQUAL = replace(Design(), accuracies=(0.4,) * 6)


def by_components(scores: Mapping[str, NDArray[np.float64]], groups: Sequence[object]) -> Sequence[Comparison]:
    return compare_to_reference(scores, groups, "p0")


def pooled(scores: Mapping[str, NDArray[np.float64]], groups: Sequence[object]) -> Sequence[Comparison]:
    """The naive way: seeds x items as that many independent items, and no family."""
    return [naive(name, (scores[name] - scores["p0"]).ravel()) for name in scores if name != "p0"]


def naive(name: str, differences: NDArray[np.float64]) -> Comparison:
    mean, error = differences.mean(), differences.std(ddof=1) / len(differences) ** 0.5
    return Comparison(name, "p0", Interval(mean, mean - 1.96 * error, mean + 1.96 * error), error, 1e6, 1.0, 0.0, 1.0)


@pytest.mark.slow
@pytest.mark.parametrize("num_seeds", [3, 5])
def test_intervals_hold_the_truth_in_95_of_100_studies(num_seeds: int) -> None:  # 3 s
    result = coverage(NUM_STUDIES, replace(Design(), num_seeds=num_seeds), by_components)
    assert result.simultaneous == pytest.approx(0.95, abs=0.04)
    assert np.mean(list(result.each.values())) == pytest.approx(0.95, abs=0.02)
    assert min(result.each.values()) > 0.90


@pytest.mark.slow
def test_equal_pipelines_are_told_apart_in_5_of_100_studies() -> None:  # 3 s
    assert coverage(NUM_STUDIES, EQUAL, by_components).false_alarms == pytest.approx(0.05, abs=0.04)


def test_pooling_seeds_and_items_is_far_too_sure() -> None:
    result = coverage(NUM_STUDIES, EQUAL, pooled)
    assert np.mean(list(result.each.values())) < 0.85
    assert result.false_alarms > 0.3


@pytest.mark.slow  # 1 s
def test_a_drawn_pipeline_has_the_accuracy_it_was_given() -> None:
    design = replace(Design(), num_items=60_000, num_seeds=40)
    scores, _ = draw_study(design, np.random.default_rng(0))
    for name, accuracy in zip(scores, design.accuracies):
        assert scores[name].mean() == pytest.approx(accuracy, abs=0.015)


def test_the_interval_of_a_mean_holds_the_truth_and_needs_its_clusters() -> None:
    design = replace(Design(accuracies=(0.3,), seed_spreads=(0.0,)), num_seeds=1, cluster_size=6)
    held = np.zeros(2)
    for number in range(500):
        scores, clusters = draw_study(design, np.random.default_rng(number))
        for way, groups in enumerate([clusters, range(design.num_items)]):
            interval = clustered_mean(scores["p0"][0], groups)
            held[way] += (interval.low <= 0.3 <= interval.high) / 500
    assert held[0] == pytest.approx(0.95, abs=0.03)
    assert held[1] < 0.88


def test_the_command_prints_a_table(capsys: pytest.CaptureFixture[str]) -> None:
    main(["--studies", "3", "--items", "30"])
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "3 studies x 6 pipelines x 3 seeds x 30 items"
    assert len(lines) == 6
