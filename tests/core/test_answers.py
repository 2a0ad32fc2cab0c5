"""Numbers in text: which are read, and how one value has one spelling."""

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from whit.core.answers import (
    is_bare_number,
    is_unfinished,
    last_number,
    leading_number,
    parse_number,
    render_answer,
    show_number,
)


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
        (r"3 \times 6 = 18", 18),
        ("3e5", 300_000),
        ("1.5E-3", Fraction("0.0015")),
        (r"3 \times 10^5", 300_000),
        (r"6.02 \cdot 10^{23}", 602 * 10**21),
        ("2 x 10^(-2)", Fraction("0.02")),
        ("3×10⁻⁵", Fraction("0.00003")),
        ("18 thousand", 18_000),
        ("$1.5 million", 1_500_000),
        ("5 dozen", 5),
        ("1 000", 1000),
        ("12 345 678 people", 12_345_678),
        ("- 3", -3),
        ("- $3", -3),
        ("x = - 3", -3),
        ("minus 3", -3),
        ("Negative 3", -3),
        ("‒3", -3),  # figure dash
        ("﹣3", -3),  # small hyphen-minus
        ("— 3", 3),  # a dash, not a sign: a space follows
        ("18 m", 18),
        ("18 cm²", 18),
        ("25 m2", 25),
        ("90^\\circ", 90),
    ],
)
def test_a_text_that_states_one_number(text, value):
    assert parse_number(text) == value


@pytest.mark.parametrize(
    "text", ["", "eighteen", "7 or 8", "3:4", "5-6", "Step 2", "x2", "1/0", "7, I think. Yes.", "9" * 5000]
)
def test_a_text_that_states_no_number_or_several(text):
    assert parse_number(text) is None


UNFINISHED = [
    "18 - 3", "2 + 3", "20*4", "3(4)", "2x + 3", "2 x 3", "18 ± 2", "5^2", "3²", "18!", "2√3", r"2\sqrt{3}", r"2\pi", "2π",
    "3x5", "8 r2", "3e9999", r"3 \times 10^9999", "101_2", "1/2/2024", "3:4", "7 or 8", "7, 8", "7 or eight", "7 to 8",
    "18 minus 3", "18 squared", "18 and a half", "1 half", "2 thirds", "18 thousandths", "18 hundred thousand", "18k",
    "3 eggs + 15 eggs", "3 eggs + 15 eggs = 18 eggs", "18 km - 3 km",
    "5 M", "1,23", r"7\text{ or } 8", "±3", r"\pm 3", "√9", r"\sqrt{9}", "--3", "—3", "- (3)",
]  # fmt: skip


@pytest.mark.parametrize("text", UNFINISHED)
def test_a_text_that_leaves_something_to_work_out_or_to_choose(text):
    assert is_unfinished(text)
    assert parse_number(text) is None and leading_number(text) is None


@pytest.mark.parametrize(
    "text",
    [
        "",
        "eighteen",
        "18",
        "18.",
        "18 of the 20",
        "18 (9 * 2)",
        "18 - as said",
        "18% of 20",
        "18! Great.",
        "18 eggs, 3 left",
        "**18**\n2 + 3",
        "x2",
    ],
)
def test_words_and_a_number_with_words_leave_nothing_to_work_out(text):
    assert not is_unfinished(text)


def test_leading_and_last_number():
    assert leading_number("18 of the 20 eggs") == 18
    assert leading_number("the 18 eggs") is None
    assert last_number("16 - 3 - 4 = 9, times $2 is $18.00.") == 18
    assert last_number("She has none.") is None
    assert last_number("In week 2 300 eggs") == 300
    assert last_number("That makes 3 thousand eggs") == 3000
    assert last_number("So 5 - 8 = - 3") == -3


@given(st.fractions())
def test_a_shown_number_is_read_back_exactly(value):
    assert parse_number(show_number(value)) == value


def test_one_value_has_one_spelling():
    assert [show_number(Fraction(text)) for text in ("18.00", "0.50", "1/2", "2/6")] == ["18", "0.5", "0.5", "1/3"]


def test_an_answer_in_each_form():
    forms = [render_answer("7", form) for form in ("hash", "boxed", "tags", "plain")]
    assert forms == ["#### 7", "\\boxed{7}", "<answer>7</answer>", "7"]
    assert render_answer("two\nlines", "hash") == "#### two lines"


@pytest.mark.parametrize(
    "text", ["18", "$1,080.50", "50%", "-3", "1 1/2", r"\frac{1}{2}", "3e5", "18 thousand", "**18**."]
)
def test_a_bare_number(text):
    assert is_bare_number(text)


@pytest.mark.parametrize("text", ["30x", "9 apples", "x = 3", "5 + 4 = 9", "25 m2", "eighteen", ""])
def test_more_than_a_number(text):
    assert not is_bare_number(text)
