"""A leaderboard as text: everything that a reader needs, in at most 80 columns."""

from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from whit.report.leaderboard import render


def interval(estimate: float, low: float, high: float) -> dict[str, float]:
    return {"estimate": estimate, "low": low, "high": high}


Triple = tuple[float, float, float]


def row(name: str, accuracy: Triple = (0.4, 0.35, 0.46), difference: Triple | None = None, **given: Any) -> dict:
    return {
        "name": name, "is_trained": True, "accuracy": interval(*accuracy), "flops": 1.5e12, "seeds": 3, "greedy": 0.25,
        "difference": interval(*difference) if difference else None, "outcomes": {"finished": 3},
        "median": 0.4, "unspent": 0.0, "flops_from_nothing": 1.5e12,
        **given,
    }  # fmt: skip


ZERO_SHOT = row("zero_shot", (0.1, 0.05, 0.16), is_trained=False, flops=0.0, seeds=1, outcomes={})


def board(*rows: dict, **given: Any) -> dict:
    return {"rows": list(rows), "num_items": 1319, "num_samples": 4, "complete": True, "failures": {},
            "verdict": {"sentence": "The verdict."}, "qualified": {}, **given}  # fmt: skip


def line_of(text: str, name: str) -> str:
    return next(line for line in text.splitlines() if line.startswith(name))


def test_a_row_reads_accuracy_difference_greedy_and_cost():
    text = render(board(row("sft", (0.413, 0.3631, 0.4729), (0.3130, 0.2500, 0.3712)), ZERO_SHOT))
    assert line_of(text, "sft").split() == [
        "sft", "41.3", "[36.3,", "47.3]", "+31.3", "[+25.0,", "+37.1]*", "25.0", "1,500",
    ]  # fmt: skip
    assert line_of(text, "zero_shot").split() == ["zero_shot", "10.0", "[5.0,", "16.0]", "-", "25.0", "-"]


def test_the_price_from_nothing_stands_below_a_row_where_it_is_another_one():
    text = render(board(row("sft"), row("kd", flops_from_nothing=4e12), ZERO_SHOT)).splitlines()
    below = {line.split()[0]: after for line, after in pairwise(text) if line.strip()}
    assert below["kd"] == "  4,000 GFLOPs from nothing, with trials, choices and texts"
    assert "from nothing" not in below["sft"]


def test_other_looks_at_the_test_split_are_said():
    text = " ".join(render(board(row("sft"), ZERO_SHOT, looks=7, other_looks=2)).split())
    assert "opened for 7 models here, and for 2 others before or beside" in text
    assert "opened" not in render(board(row("sft"), ZERO_SHOT, looks=7, other_looks=0))


def test_a_star_marks_a_difference_that_excludes_zero_on_either_side():
    text = render(
        board(
            row("better", difference=(0.1, 0.001, 0.2)),
            row("unclear", difference=(0.1, -0.1, 0.3)),
            row("worse", difference=(-0.1, -0.2, -0.01)),
        )
    )
    assert ["*" in line_of(text, name) for name in ("better", "unclear", "worse")] == [True, False, True]
    assert "* excludes zero" in text


def test_runs_that_collapsed_or_failed_are_said_below_their_row():
    text = render(board(row("rl", outcomes={"collapsed": 1, "failed": 2}), row("sft"), ZERO_SHOT)).splitlines()
    below = {line.split()[0]: text[i + 1] for i, line in enumerate(text) if line.startswith(("rl", "sft"))}
    assert below["rl"] == "  1 of 3 collapsed, 2 of 3 failed; median 40.0"
    assert below["sft"].startswith("zero_shot")


def test_items_samples_and_seeds_stand_below():
    text = render(board(row("sft"), row("rl", seeds=2), ZERO_SHOT))
    assert "1319 test items x 4 samples, 3 seeds" in text
    assert "INCOMPLETE" not in text


def test_missing_runs_are_said():
    assert "INCOMPLETE" in render(board(row("sft", seeds=1), ZERO_SHOT, complete=False))


def test_the_verdict_stands_below_the_table_in_lines_of_eighty():
    sentence = "Undecided between sft and rl. Take sft: they cost about the same and it is the simplest. " * 2
    text = render(board(row("sft"), ZERO_SHOT, verdict={"sentence": sentence}))
    assert " ".join(text.split()).endswith(" ".join(sentence.split()))
    assert max(map(len, text.splitlines())) <= 80


def test_arms_alone_and_no_rows_at_all():
    text = render(board(ZERO_SHOT, complete=False))
    assert line_of(text, "zero_shot") and "INCOMPLETE" in text
    assert len(render(board()).splitlines()) == 7  # the head, its rule, what has to be known, the verdict


def test_a_number_that_nobody_measured_is_not_a_zero():
    assert line_of(render(board(row("sft", greedy=float("nan")))), "sft").split()[-2] == "nan"


@pytest.mark.parametrize(
    ("flops", "shown"), [(1e6, "0"), (2.6e9, "3"), (123456e9, "123,456"), (1e15, "1.00e+06"), (1e18, "1.00e+09")]
)
def test_the_cost_in_giga_operations_fits_its_column(flops, shown):
    assert line_of(render(board(row("sft", flops=flops))), "sft").split()[-1] == shown


SHARES = st.floats(0, 1)
ROWS = st.builds(
    row,
    st.text("sft-rl", min_size=1, max_size=40),
    accuracy=st.tuples(SHARES, SHARES, SHARES),
    difference=st.none() | st.tuples(*[st.floats(-1, 1)] * 3),
    greedy=SHARES,
    flops=st.floats(0, 1e24),
    seeds=st.integers(1, 99),
    outcomes=st.dictionaries(st.sampled_from(["finished", "collapsed", "failed"]), st.integers(1, 99)),
)


@settings(max_examples=50, deadline=None)
@given(
    rows=st.lists(ROWS, max_size=8), items=st.integers(0, 99_999), samples=st.integers(1, 256), complete=st.booleans()
)
def test_no_line_is_longer_than_eighty_columns(rows, items, samples, complete):
    text = render(board(*rows, num_items=items, num_samples=samples, complete=complete))
    assert max(map(len, text.splitlines())) <= 80


def test_nor_where_all_is_as_wide_as_it_can_be():
    widest = row("a" * 40, difference=(-1.0, -1.0, -1.0), accuracy=(1.0, 1.0, 1.0), greedy=1.0, flops=9.9e22, seeds=1)
    text = render(board(widest, num_items=99_999, num_samples=256, complete=False))
    assert max(map(len, text.splitlines())) <= 80


def test_an_arm_that_could_not_be_scored_is_named_with_its_reason():
    failures = {"few_shot": "a prompt has 300 tokens and the model's context holds 256. " * 2}
    text = render(board(ZERO_SHOT, failures=failures))
    assert "few_shot could not be scored: a prompt has 300 tokens" in text
    assert max(map(len, text.splitlines())) <= 80


def test_a_row_that_cost_much_less_is_remarked():
    text = render(board(row("sft", flops=1e12), row("rl", flops=6e11), row("kd", flops=9e11), ZERO_SHOT))
    remarks = [line for line in text.splitlines() if "no equal comparison" in line]
    assert remarks == ["  ended at 60 % of the cost of the dearest: no equal comparison"]


def test_a_row_that_dev_stopped_says_what_is_left():
    text = render(board(row("sft", unspent=0.5, flops=5e11), row("rl", flops=1e12), ZERO_SHOT))
    assert "  stopped by dev with 50 % of its budget left" in text and "no equal comparison" not in text


def test_who_was_left_out_on_dev_is_said():
    seen = {"sft": {"accuracy": [0.4, 0.3, 0.5], "goes_on": True}, "kd": {"accuracy": [0.31, 0, 1], "goes_on": False}}
    text = render(board(row("sft"), ZERO_SHOT, qualified=seen))
    assert "Left out after one run each on dev: kd (31.0 %)." in text
