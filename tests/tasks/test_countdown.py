"""Countdown: every problem can be solved, and the difficulty is the count of numbers."""

from dataclasses import replace

import pytest

from whit.core.errors import UsageError
from whit.core.types import Example
from whit.tasks.countdown import countdown
from whit.verifiers.countdown import countdown as verifier


@pytest.mark.parametrize("split", ["train", "dev", "test", "ood"])
def test_the_gold_expression_uses_every_number_once_and_reaches_the_target(split):
    for example in countdown(split, size=200):
        assert sorted(map(int, "".join(c if c.isdigit() else " " for c in example.gold).split())) == sorted(
            example.metadata["numbers"]
        )
        assert eval(example.gold) == example.metadata["target"]  # of our own making
        assert verifier(f"\\boxed{{{example.gold} = {example.metadata['target']}}}", example).strict
        assert not verifier(f"\\boxed{{{example.metadata['target']}}}", example).correct


def test_the_dial_is_the_count_of_numbers_and_ood_has_one_more():
    assert {len(e.metadata["numbers"]) for e in countdown("train", numbers=(2, 3), size=100)} == {2, 3}
    assert {len(e.metadata["numbers"]) for e in countdown("ood", numbers=(2, 3), size=100)} == {4}
    with pytest.raises(UsageError, match="it takes 2 to 6"):
        next(countdown("train", numbers=(1, 3)))


def test_every_number_may_be_asked_for():
    example = next(countdown("train"))
    some = [*example.metadata["numbers"], 1]
    metadata = {**example.metadata, "numbers": some}
    assert verifier(f"\\boxed{{{example.gold}}}", replace(example, metadata=metadata)).correct
    assert not verifier(f"\\boxed{{{example.gold}}}", replace(example, metadata={**metadata, "use_all": True})).correct


@pytest.mark.parametrize("said", ["1e20000000", "0." + "0" * 99, "24/0", "24 apples", "24 = 24", "", "٢٤"])
@pytest.mark.usefixtures("ends")
def test_what_stands_behind_the_equals_sign_is_a_short_number(said):
    example = Example("1", "?", "8 * 3", metadata={"numbers": [3, 8], "target": 24})
    found = verifier(f"#### 8 * 3 = {said}", example)
    assert (found.correct, found.status) == (False, "no_answer")
    assert all(verifier(f"#### 8 * 3 = {fine}", example).correct for fine in ("24", "24.0", "48/2"))


@pytest.mark.parametrize("text", ["0x8 * 3", "0b1000 * 3", "8_0 * 3", "8 * 3 # 5", "٨ * 3", "8 * 3 if 1 else 0"])
def test_numbers_are_plain_digits_and_nothing_stands_beside_the_expression(text):
    assert not verifier(f"#### {text}", Example("1", "?", "8 * 3", metadata={"numbers": [3, 8], "target": 24})).correct
