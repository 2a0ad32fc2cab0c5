"""Which documents share a micro-batch."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from whit.core.errors import DataError
from whit.data.packing import pack

LENGTHS = st.lists(st.integers(1, 64), max_size=40)


def test_the_longest_goes_first_and_each_into_the_fullest_row_that_takes_it():
    # 6 opens a row, 5 another; 4 fills the first (4 left of 10), 3 goes to the second, 2 too.
    assert pack([5, 4, 3, 2, 6], 10) == [[4, 1], [0, 2, 3]]


def test_documents_that_fit_share_one_row():
    assert pack([2, 3, 5], 10) == [[2, 1, 0]]


def test_nothing_makes_no_rows():
    assert pack([], 10) == []


def test_a_document_longer_than_a_row_is_an_error_that_names_it():
    with pytest.raises(DataError, match="document 1 has 11 tokens"):
        pack([3, 11], 10)


@given(LENGTHS, st.integers(64, 200))
def test_every_document_stands_exactly_once(lengths, max_tokens):
    assert sorted(index for row in pack(lengths, max_tokens) for index in row) == list(range(len(lengths)))


@given(LENGTHS, st.integers(64, 200))
def test_no_row_is_over_the_limit_and_none_is_empty(lengths, max_tokens):
    assert all(0 < sum(lengths[i] for i in row) <= max_tokens for row in pack(lengths, max_tokens))


@given(LENGTHS, st.integers(64, 200))
def test_no_two_rows_could_be_one(lengths, max_tokens):
    fill = sorted(sum(lengths[i] for i in row) for row in pack(lengths, max_tokens))
    assert len(fill) < 2 or fill[0] + fill[1] > max_tokens
