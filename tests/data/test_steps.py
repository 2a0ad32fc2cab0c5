"""Forms of a worked solution: the equations in it, and the questions that its steps answer."""

from fractions import Fraction
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from whit.core.answers import NOTE, parse_number
from whit.core.files import read_rows
from whit.core.types import Example
from whit.data.forms._steps import Equation, is_near, noted, written
from whit.data.forms.equations import equations
from whit.data.forms.socratic import socratic
from whit.tasks.gsm8k import gsm8k

REAL = Path(__file__).parents[2].parent / "shared" / "data"
needs_gsm8k = pytest.mark.skipif(not (REAL / "gsm8k").exists(), reason="GSM8K is not on this machine")
CLIPS = "Natalia sold 48/2 = <<48/2=24>>24 clips in May.\nNatalia sold 48+24 = <<48+24=72>>72 clips altogether."


def example(rationale: str, gold: str = "72", **more) -> Example:
    return Example("a", "How many?", gold, rationale=rationale, **more)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("So 3 * 2 = 6.", ["3 * 2 = 6"]),
        ("Ann 3 + 2 = Ben 5. Ben 5 * 3 = Cleo 15.", ["3 + 2 = 5", "5 * 3 = 15"]),
        ("29 species * 7 pairs per species = 203 pairs of birds", ["29 * 7 = 203"]),
        ("100 - 50 - 30 - 15 = $5", ["100 - 50 - 30 - 15 = 5"]),
        ("0.2 x 50 = $10, and 80,000*1.5=120,000", ["0.2 * 50 = 10", "80000 * 1.5 = 120000"]),
        ("$1000-($150+$300) = $550", ["1000 - (150 + 300) = 550"]),
        ("2 x 4 x 50% = 4 pieces, or 5/20*100=25%", ["2 * 4 * 50% = 4", "5 / 20 * 100 = 25%"]),
        ("5 snakes/jaguar * 6 jaguars = 30 snakes", ["5 * 6 = 30"]),
        ("In a 10-year loan 5 * 3 = 15", ["5 * 3 = 15"]),
        ("Bags = cookies / size\n= 48 / 6\n= 8", ["48 / 6 = 8"]),
        ("2 * 12 = 24 + 3 = 27", ["2 * 12 = 24", "24 + 3 = 27"]),
        ("100 / 3 = 33.33 and 20 / 3 = 7", ["100 / 3 = 33.33", "20 / 3 = 7"]),
        ("7 * 36 is 252.", ["7 * 36 = 252"]),
        ("\\$5 \\times 3 = 15", ["5 * 3 = 15"]),
        ("5 - 9 = -4", ["5 - 9 = -4"]),
        ("x = 5 + 4 = 9", ["5 + 4 = 9"]),
        ("2 + 2 = 5", []),  # does not hold
        ("x + 3 = 7, 5 = 5, 1 / 0 = 0, = = =, 3 +", []),
        ("", []),
    ],
)
def test_equations_are_read_from_a_text_where_they_hold(text, found):
    assert [str(equation) for equation in written(text)] == found


def test_equations_are_read_from_calculator_notes():
    assert list(map(str, noted(CLIPS))) == ["48 / 2 = 24", "48 + 24 = 72"]
    assert noted("48/2 = 24") == []


@given(st.lists(st.tuples(st.integers(0, 999), st.sampled_from("+-*")), min_size=2, max_size=5))
def test_whatever_is_written_down_is_found_and_holds(terms):
    left = " ".join(f"{number} {sign}" for number, sign in terms).rsplit(" ", 1)[0]
    right = eval(left)
    assert list(map(str, written(f"They have {left} = {right} pens."))) == [f"{left} = {right}"]
    assert Equation(left, str(right)).holds and not Equation(left, str(right + 1)).holds


@pytest.mark.parametrize(
    ("value", "shown", "near"),
    [("100/3", "33.33", True), ("100/3", "33.3", True), ("100/3", "33.4", False), ("7", "7.00", True),
     ("25", "25%", True), ("1/4", "25%", True), ("1/4", "25", False), ("20/3", "7", True)],
)  # fmt: skip
def test_a_result_is_near_when_it_is_the_value_rounded_as_it_is_shown(value, shown, near):
    assert is_near(Fraction(value), shown) == near


def test_the_chain_of_equations_then_the_answer():
    assert equations(example(CLIPS)) == "48 / 2 = 24\n48 + 24 = 72\n#### 72"


def test_notes_in_the_metadata_stand_for_those_that_a_task_took_out():
    plain = "He has half of 48. With the 48 that is what is asked."
    assert (
        equations(example(plain, metadata={"notes": ("48/2=24", "48+24=72")})) == "48 / 2 = 24\n48 + 24 = 72\n#### 72"
    )
    assert equations(example(plain)) is None


def test_of_notes_and_text_the_one_that_tells_more_steps_is_taken():
    text = "48 / 2 = 24 clips, and 48 + 24 = <<48+24=72>>72."
    assert equations(example(text)) == "48 / 2 = 24\n48 + 24 = 72\n#### 72"


def test_a_chain_ends_where_the_answer_is_and_has_to_get_there():
    assert equations(example("48 + 24 = 72. Check: 72 - 24 = 48.")) == "48 + 24 = 72\n#### 72"
    assert equations(example("48 / 2 = 24, so it is 72.")) is None


def test_where_the_answer_is_no_number_the_whole_chain_is_taught():
    assert equations(example("84 / 2 = 42.", gold="( 84.0 / 2.0 )")) == "84 / 2 = 42\n#### ( 84.0 / 2.0 )"


def test_questions_of_the_data_stand_before_their_steps():
    rationale = "How many in May? ** She sold 48/2 = 24.\nHow many in all? ** She sold 48+24 = 72."
    assert socratic(example(rationale)) == rationale.replace(" ** ", " ") + "\n#### 72"


def test_questions_are_made_from_the_equations_of_the_steps():
    assert socratic(example("She sold 48/2 = 24 in May. In all that is 48+24 = 72.")) == (
        "What is 48 / 2? She sold 48/2 = 24 in May.\nWhat is 48 + 24? In all that is 48+24 = 72.\n#### 72"
    )
    assert socratic(example("Ann has 3.5 pens. 3.5 * 2 = 7 pens.", "7")) == (
        "Ann has 3.5 pens.\nWhat is 3.5 * 2? 3.5 * 2 = 7 pens.\n#### 7"
    )
    assert socratic(example(CLIPS)).startswith("What is 48 / 2? Natalia sold 48/2 = <<48/2=24>>24 clips in May.\n")
    assert socratic(example("She sold half of them, which are 72.")) is None


@needs_gsm8k
@pytest.mark.slow  # 3 s
def test_every_calculator_note_of_gsm8k_holds_and_equations_are_the_same_without_notes_in_the_text():
    kept, plain = ([*gsm8k("train", path=REAL, keep_notes=keep)][:2000] for keep in (True, False))
    assert all(equation.holds for e in kept for equation in noted(e.rationale))
    assert [tuple(NOTE.findall(e.rationale)) for e in kept] == [e.metadata["notes"] for e in plain]
    assert not any("<<" in e.rationale for e in plain)
    found = [equations(e) for e in plain]
    assert found == [equations(e) for e in kept]
    for text, e in zip(found, kept, strict=True):
        if text:
            steps = written(text.rpartition("\n")[0])
            assert len(steps) == text.count("\n") and is_near(parse_number(e.gold), steps[-1].right)


@needs_gsm8k
def test_the_socratic_edition_of_gsm8k_has_its_own_questions():
    for row in read_rows(REAL / "gsm8k" / "test_socratic.jsonl.gz")[:300]:
        solution = row["solution"].rpartition("####")[0].strip()
        text = socratic(example(solution, row["answer"]))
        assert " ** " in solution and text == solution.replace(" ** ", " ") + f"\n#### {row['answer']}"
