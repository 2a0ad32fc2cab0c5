"""Planning, against the published points of arXiv:2411.00640."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from whit.core.errors import UsageError
from whit.stats.power import TYPICAL, Spread, items_needed, seeds_needed, smallest_detectable_difference

NO_SEEDS = Spread(item_variance=1 / 9, answer_variance=1 / 6, seed_spread=0.0)


@pytest.mark.parametrize(("num_samples", "expected"), [(1, 0.132), (10, 0.075)])
def test_198_items_with_one_and_with_ten_samples(num_samples: int, expected: float) -> None:
    found = smallest_detectable_difference(198, 1, num_samples=num_samples, spread=NO_SEEDS)
    assert found == pytest.approx(expected, abs=0.001)


def test_three_points_need_969_items_when_answers_are_certain() -> None:
    assert items_needed(0.03, 1, spread=Spread(1 / 9, 0.0, 0.0)) == 969


def test_a_difference_at_a_seed_spread_of_two_points_by_hand() -> None:
    # Items without end leave 7.849 * 2 * 0.02^2 / 4 = 0.00157: 3.96 points.
    spread = Spread(1 / 9, 1 / 6, seed_spread=0.02)
    assert smallest_detectable_difference(10**9, 4, spread=spread) == pytest.approx(0.0396, abs=1e-4)
    assert seeds_needed(0.0397, 10**9, spread=spread) == 4


@given(st.floats(0.02, 0.3), st.integers(50, 5000), st.integers(1, 8))
def test_seeds_needed_is_the_fewest_that_find_the_difference(difference: float, num_items: int, samples: int) -> None:
    num_seeds = seeds_needed(difference, num_items, num_samples=samples)
    if num_seeds is None:
        assert smallest_detectable_difference(num_items, 10**9, num_samples=samples) >= difference * (1 - 1e-6)
        return
    assert smallest_detectable_difference(num_items, num_seeds, num_samples=samples) <= difference * (1 + 1e-6)
    if num_seeds > 1:
        assert smallest_detectable_difference(num_items, num_seeds - 1, num_samples=samples) > difference * (1 - 1e-6)


def test_no_number_of_seeds_replaces_items_and_no_number_of_items_replaces_seeds() -> None:
    assert seeds_needed(0.01, 100) is None
    assert items_needed(0.01, 1, spread=Spread(1 / 9, 1 / 6, seed_spread=0.05)) is None


def test_more_of_anything_finds_smaller_differences() -> None:
    base = smallest_detectable_difference(300, 3, spread=TYPICAL)
    assert smallest_detectable_difference(600, 3) < base
    assert smallest_detectable_difference(300, 5) < base
    assert smallest_detectable_difference(300, 3, num_samples=8) < base
    assert smallest_detectable_difference(300, 3, power=0.9) > base


def test_no_difference_cannot_be_found() -> None:
    with pytest.raises(UsageError, match="above 0"):
        seeds_needed(0.0, 100)
