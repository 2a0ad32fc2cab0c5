"""The share of the peak learning rate at a point of the budget."""

import pytest

from whit.training.schedules import rate


@pytest.mark.parametrize(
    ("schedule", "progress", "share"),
    [
        ("constant", 0.5, 1.0),
        ("constant", 1.0, 1.0),
        ("linear", 0.1, 1.0),
        ("linear", 0.55, 0.5),
        ("linear", 1.0, 0.0),
        ("cosine", 0.1, 1.0),
        ("cosine", 0.325, 0.5 + 0.5 * 2**-0.5),
        ("cosine", 0.55, 0.5),
        ("cosine", 1.0, 0.0),
        ("wsd", 0.1, 1.0),
        ("wsd", 0.79, 1.0),
        ("wsd", 0.9, 0.5),
        ("wsd", 1.0, 0.0),
    ],
)
def test_a_tenth_of_warm_up_then_the_schedule(schedule, progress, share):
    assert rate(schedule, progress, warmup=0.1) == pytest.approx(share, abs=1e-12)


@pytest.mark.parametrize("schedule", ["constant", "linear", "cosine", "wsd"])
def test_warm_up_rises_in_a_straight_line_and_never_stands_at_zero(schedule):
    assert [rate(schedule, p, warmup=0.1) for p in (0.0, 0.05, 0.075)] == pytest.approx([0.01, 0.5, 0.75])


@pytest.mark.parametrize("schedule", ["constant", "linear", "cosine", "wsd"])
def test_without_warm_up_it_starts_at_the_peak(schedule):
    assert rate(schedule, 0.0, warmup=0.0) == 1.0


@pytest.mark.parametrize("schedule", ["linear", "cosine", "wsd"])
def test_it_ends_at_the_final_share(schedule):
    assert rate(schedule, 1.0, warmup=0.1, final=0.2) == pytest.approx(0.2)
