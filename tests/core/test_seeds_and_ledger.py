"""Random streams are the same everywhere; the ledger adds up."""

import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from whit.core.errors import BudgetError
from whit.core.ledger import Ledger
from whit.core.seeds import key64, stream

KNOWN = 0x1A63002A6DDFF4A6


def test_a_key_is_the_same_on_every_machine_and_in_every_process():
    assert key64(0, "packing", 3) == KNOWN
    code = "from whit.core.seeds import key64; print(key64(0, 'packing', 3))"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env={"PYTHONHASHSEED": "7"}, check=True
    )
    assert int(done.stdout) == KNOWN


def test_streams_differ_by_seed_name_and_part():
    draws = {stream(*key).random() for key in ((0, "a"), (1, "a"), (0, "b"), (0, "a", 1), (0, "a", 1, 2), (0, "a", 12))}
    assert len(draws) == 6
    assert stream(0, "a", 1).random() == stream(0, "a", 1).random()


@given(st.lists(st.text(max_size=3), max_size=3), st.lists(st.text(max_size=3), max_size=3))
def test_other_parts_give_another_key(one, other):
    joined = ["\x1f".join(one), "\x1f".join(other)]
    assert (key64(*one) == key64(*other)) == (joined[0] == joined[1])


def test_a_ledger_adds_up_by_purpose():
    ledger = Ledger(limit_flops=100.0)
    ledger.charge("train", flops=30, tokens=5, seconds=1.5)
    ledger.charge("sample", flops=20, tokens=7)
    ledger.charge("train", flops=10, tokens=1)
    assert (ledger.flops, ledger.seconds, ledger.progress) == (60, 1.5, 0.6)
    assert (ledger.accounts["train"].flops, ledger.accounts["train"].tokens) == (40, 6)
    assert ledger.fits(40) and not ledger.fits(40.1)
    assert Ledger.from_plain(ledger.to_plain()) == ledger


def test_a_ledger_without_a_limit_has_no_progress_and_room_for_all():
    ledger = Ledger()
    ledger.charge("train", flops=1e30)
    assert ledger.progress == 0.0 and ledger.fits(1e30)


def test_time_is_charged_even_when_the_work_fails():
    ledger = Ledger()
    with pytest.raises(ZeroDivisionError), ledger.timed("train"):
        _ = 1 / 0
    assert ledger.seconds > 0


def test_a_budget_too_small_for_one_step_says_what_to_change():
    with pytest.raises(BudgetError, match=r"step 1 needs 2e\+09 FLOPs, but only 1e\+09 of 1e\+09 are left"):
        Ledger(limit_flops=1e9).require(2e9, "step 1")


def test_what_is_left_is_never_less_than_nothing():
    spent = Ledger(limit_flops=1e12)
    spent.charge("sample", flops=1.7e12)
    spent.charge("train", flops=1e10)
    with pytest.raises(
        BudgetError, match=r"of the stage's 1e\+12 nothing is left: 1.71e\+12 are spent, most of them to sample"
    ):
        spent.require(6.3e11, "step 1")
    with pytest.raises(BudgetError, match=r"the stages before it overran the budget by 2e\+11, and nothing is left"):
        Ledger(limit_flops=-2e11).require(6.3e11, "step 1")
