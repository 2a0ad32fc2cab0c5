"""Numbers in text: which are read, and how one value has one spelling."""

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from whit.core.answers import last_number, leading_number, parse_number, render_answer, show_number


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1,080", 1080),
        ("12,345,678.5", Fraction("12345678.5")),
        ("1\u202f080", 1080),  # narrow no-break space
        ("1{,}080", 1080),
        ("$18", 18),
        (r"\$18.50", Fraction("18.5")),
        ("-$5", -5),
        ("$-5", -5),
        ("€ 5", 5),
        ("−5", -5),  # unicode minus
        ("18.", 18),
        (".5", Fraction(1, 2)),
        ("50%", 50),
        (r"50\%", 50),
        ("1/2", Fraction(1, 2)),
        ("1 1/2", Fraction(3, 2)),
        (r"\frac{3}{4}", Fraction(3, 4)),
        (r"1\frac{1}{2}", Fraction(3, 2)),
        (r"-\dfrac12", Fraction(-1, 2)),
        ("9 apples", 9),
        ("9 (apples)", 9),
        ("14  (seats)", 14),
        ("5kg", 5),
        ("**18**", 18),
        ("\\[\n18\n\\]", 18),
        ("x = 18", 18),
        ("20 x 4 = 80 apples", 80),
        ("16 - 3 - 4 = 9", 9),
    ],
)
def test_a_text_that_states_one_number(text, value):
    assert parse_number(text) == value


@pytest.mark.parametrize(
    "text", ["", "eighteen", "7 or 8", "3:4", "5-6", "Step 2", "x2", "1/0", "7, I think. Yes.", "9" * 5000]
)
def test_a_text_that_states_no_number_or_several(text):
    assert parse_number(text) is None


def test_leading_and_last_number():
    assert leading_number("18 of the 20 eggs") == 18
    assert leading_number("the 18 eggs") is None
    assert last_number("16 - 3 - 4 = 9, times $2 is $18.00.") == 18
    assert last_number("She has none.") is None


@given(st.fractions())
def test_a_shown_number_is_read_back_exactly(value):
    assert parse_number(show_number(value)) == value


def test_one_value_has_one_spelling():
    assert [show_number(Fraction(text)) for text in ("18.00", "0.50", "1/2", "2/6")] == ["18", "0.5", "0.5", "1/3"]


def test_an_answer_in_each_form():
    forms = [render_answer("7", form) for form in ("hash", "boxed", "tags", "plain")]
    assert forms == ["#### 7", "\\boxed{7}", "<answer>7</answer>", "7"]
    assert render_answer("two\nlines", "hash") == "#### two lines"
