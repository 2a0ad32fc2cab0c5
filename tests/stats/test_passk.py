"""pass@k and majority@k of one item."""

from itertools import combinations
from math import comb

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from whit.core.errors import UsageError
from whit.stats.passk import majority_at_k, pass_at_k

ANSWERS = st.lists(st.sampled_from(["7", "8", "9", None]), min_size=1, max_size=8)


@pytest.mark.parametrize(
    ("num_samples", "num_correct", "k", "expected"),
    [(5, 2, 3, 0.9), (4, 1, 2, 0.5), (8, 0, 4, 0.0), (8, 8, 4, 1.0), (8, 6, 1, 0.75), (4, 3, 2, 1.0)],
)
def test_pass_at_k_by_hand(num_samples: int, num_correct: int, k: int, expected: float) -> None:
    assert pass_at_k(num_samples, num_correct, k) == pytest.approx(expected)


@given(st.integers(1, 60), st.data())
def test_pass_at_k_counts_the_subsets_without_a_correct_sample(num_samples: int, data: st.DataObject) -> None:
    num_correct, k = data.draw(st.integers(0, num_samples)), data.draw(st.integers(1, num_samples))
    expected = 1 - comb(num_samples - num_correct, k) / comb(num_samples, k)
    assert pass_at_k(num_samples, num_correct, k) == pytest.approx(expected)


def test_pass_at_k_of_an_array_is_that_of_each_item() -> None:
    assert pass_at_k([5, 4, 8], [2, 1, 0], 2) == pytest.approx(np.array([0.7, 0.5, 0.0]))


def test_pass_at_k_grows_with_k_and_with_the_number_correct() -> None:
    table = np.array([[pass_at_k(16, c, k) for c in range(17)] for k in range(1, 17)])
    assert (np.diff(table, axis=0) >= 0).all()
    assert (np.diff(table, axis=1) >= 0).all()


def test_pass_at_k_refuses_fewer_samples_than_k() -> None:
    with pytest.raises(UsageError, match="the fewest is 3"):
        pass_at_k([8, 3], [1, 1], 4)
    with pytest.raises(UsageError, match="between 0 and num_samples"):
        pass_at_k(4, 5, 2)


def test_majority_of_all_is_the_plain_vote() -> None:
    assert majority_at_k(["7", "7", "8"], [True, True, False], 3) == 1.0
    assert majority_at_k(["7", "8", "8"], [True, False, False], 3) == 0.0


def test_a_tie_earns_one_over_the_number_tied() -> None:
    assert majority_at_k(["7", "8"], [True, False], 2) == pytest.approx(1 / 2)
    assert majority_at_k(["7", "8", "9"], [True, False, False], 3) == pytest.approx(1 / 3)


def test_answers_that_cannot_be_parsed_do_not_vote() -> None:
    assert majority_at_k(["7", None, None, None], [True, False, False, False], 4) == 1.0
    assert majority_at_k([None, None], [False, False], 2) == 0.0


def test_majority_at_two_of_three_by_hand() -> None:
    # {7, 7} wins; {7, 8} ties, twice.
    assert majority_at_k(["7", "7", "8"], [True, True, False], 2) == pytest.approx((1 + 1 / 2 + 1 / 2) / 3)


def test_majority_of_a_likely_answer_grows_with_odd_k() -> None:
    answers, correct = ["7"] * 10 + ["8"] * 6, [True] * 10 + [False] * 6
    credits = [majority_at_k(answers, correct, k) for k in range(1, 16, 2)]
    assert credits == sorted(credits)
    assert credits[0] == pytest.approx(10 / 16)


@given(ANSWERS)
def test_majority_at_one_is_the_mean(answers: list[str | None]) -> None:
    correct = [answer == "7" for answer in answers]
    assert majority_at_k(answers, correct, 1) == pytest.approx(np.mean(correct))


@given(ANSWERS, st.data())
def test_majority_is_the_mean_vote_over_all_subsets(answers: list[str | None], data: st.DataObject) -> None:
    k = data.draw(st.integers(1, len(answers)))
    correct = [answer in ("7", "9") for answer in answers]  # two spellings of the right answer
    votes = [vote([answers[i] for i in subset]) for subset in combinations(range(len(answers)), k)]
    assert majority_at_k(answers, correct, k) == pytest.approx(np.mean(votes), abs=1e-12)


def vote(answers: list[str | None]) -> float:
    counts = {answer: answers.count(answer) for answer in answers if answer is not None}
    winners = [answer for answer, count in counts.items() if count == max(counts.values())]
    return sum(answer in ("7", "9") for answer in winners) / len(winners) if winners else 0.0


def test_majority_refuses_more_votes_than_answers() -> None:
    with pytest.raises(UsageError, match=r"majority@3 of 2 answers"):
        majority_at_k(["7", "8"], [True, False], 3)
