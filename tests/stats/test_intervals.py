"""Intervals of one score."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import t as student

from whit.core.errors import DataError, UsageError
from whit.stats.intervals import clustered_mean, seed_means, wilson


def test_no_right_answer_of_ten_is_not_certainly_zero() -> None:
    interval = clustered_mean([0] * 10, range(10))
    assert (interval.estimate, interval.low) == (0.0, 0.0)
    assert interval.high == pytest.approx(1.96**2 / (10 + 1.96**2), abs=1e-4)  # 0.2775


def test_wilson_of_half_of_ten() -> None:
    assert clustered_mean([0, 1] * 5, range(10)).low == pytest.approx(0.2366, abs=1e-4)


@given(st.floats(0, 1), st.floats(0.5, 1e6), st.floats(0.1, 15))
def test_wilson_stays_between_zero_and_one_and_holds_the_share(share: float, num_items: float, quantile: float) -> None:
    interval = wilson(share, num_items, quantile)
    assert 0 <= interval.low <= share <= interval.high <= 1
    assert interval.high > interval.low


def test_a_large_sample_gives_mean_and_t_standard_errors() -> None:
    shares = np.random.default_rng(0).beta(2, 2, 20_000)
    interval = clustered_mean(shares, range(20_000))
    half = 1.96 * shares.std(ddof=1) / 20_000**0.5
    assert (interval.low, interval.high) == pytest.approx((shares.mean() - half, shares.mean() + half), abs=1e-5)


def test_numbers_that_are_no_shares_take_students_t() -> None:
    interval = clustered_mean([1.0, 2.0, 6.0], ["a", "b", "c"])
    half = student.ppf(0.975, 2) * np.sqrt(7 / 3)  # variance 7
    assert (interval.estimate, interval.low, interval.high) == pytest.approx((3, 3 - half, 3 + half))


def test_clusters_of_copies_count_once() -> None:
    tokens = [10.0, 12.0, 20.0, 31.0]
    once = clustered_mean(tokens, range(4))
    copied = clustered_mean(np.repeat(tokens, 5), np.repeat(range(4), 5).tolist())
    assert (copied.low, copied.high) == pytest.approx((once.low, once.high))


def test_a_cluster_variance_by_hand() -> None:
    # Sums of deviations from 5 are -4 and 4; variance 2/1 * (16 + 16) / 4^2 = 4, so SE 2 with one degree of freedom.
    interval = clustered_mean([2.0, 4.0, 6.0, 8.0], ["a", "a", "b", "b"])
    assert interval.high - 5 == pytest.approx(2 * student.ppf(0.975, 1))


def test_all_wrong_in_clusters_has_width() -> None:
    assert clustered_mean([0.0] * 20, [i // 2 for i in range(20)]).high > 0.2


def test_one_cluster_is_refused() -> None:
    with pytest.raises(UsageError, match="one cluster"):
        clustered_mean([0.5, 0.25], ["a", "a"])


def study(num_seeds: int = 3, num_items: int = 60, seed: int = 0) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    return {name: rng.binomial(4, 0.5, (num_seeds, num_items)) / 4 for name in "abc"}


def test_a_fixed_pipeline_has_the_interval_of_its_items() -> None:
    row = study(num_seeds=1)["a"]
    groups = [i // 2 for i in range(60)]
    interval, expected = seed_means({"a": row}, groups, fixed={"a"})["a"], clustered_mean(row[0], groups)
    assert (interval.low, interval.high) == pytest.approx((expected.low, expected.high))


def test_seeds_that_disagree_widen_the_interval() -> None:
    scores = study()
    shifted = {name: np.clip(row + np.array([[-0.2], [0.0], [0.2]]), 0, 1) for name, row in scores.items()}
    calm, noisy = seed_means(scores, range(60))["a"], seed_means(shifted, range(60))["a"]
    assert noisy.high - noisy.low > 1.5 * (calm.high - calm.low)


def test_order_of_seeds_items_and_pipelines_does_not_matter() -> None:
    scores, groups = study(), [i // 3 for i in range(60)]
    order = np.random.default_rng(1).permutation(60)
    shuffled = {name: scores[name][::-1, order] for name in "cab"}
    first, second = seed_means(scores, groups), seed_means(shuffled, [groups[i] for i in order])
    for name in "abc":
        assert (first[name].low, first[name].high) == pytest.approx((second[name].low, second[name].high))


def test_a_study_without_a_second_seed_cannot_know_its_seed_variance() -> None:
    with pytest.raises(UsageError, match="second seed"):
        seed_means(study(num_seeds=1), range(60))


def test_scores_must_be_shares_of_the_same_items() -> None:
    with pytest.raises(DataError, match="shares from 0 to 1"):
        seed_means({"a": np.full((2, 60), np.nan)}, range(60))
    with pytest.raises(UsageError, match=r"a: scores of shape \(3, 60\)"):
        seed_means(study(), range(50))
