"""Every form: the same text every time, which ends in the answer and passes the verifier; None where it cannot be made."""

import inspect
from dataclasses import replace
from pathlib import Path

import pytest

from whit.core import parts
from whit.core.answers import INSTRUCTIONS, completion_text, render_answer
from whit.core.types import Example
from whit.tasks.gsm8k import gsm8k
from whit.tasks.word_problems import word_problems
from whit.verifiers._judge import judge

EACH = pytest.mark.parametrize("name", parts.names("form"))
EACH_OF_RATIONALES = pytest.mark.parametrize("name", sorted(set(parts.names("form")) - {"answer"}))
REAL = Path(__file__).parents[2].parent / "shared" / "data"
EXAMPLE = Example("a", "Ann has 3 pens. She buys twice as many. How many now?", "9", rationale="2 * 3 = 6. 3 + 6 = 9.")


@EACH
def test_it_is_given_an_example_and_its_docstring_says_what_it_is(name):
    part = parts.find("form", name)
    assert parts.inputs(part) == ["example"] and len(parts.summary(part)) > 20
    assert all(setting.default is not inspect.Parameter.empty for setting in parts.options(part).values())


@EACH
@pytest.mark.parametrize("answer_format", INSTRUCTIONS)
def test_it_ends_in_the_answer_in_the_form_that_is_asked_for(name, answer_format):
    text = parts.find("form", name)(replace(EXAMPLE, answer_format=answer_format))
    assert text.endswith(render_answer("9", answer_format))
    assert text == parts.find("form", name)(replace(EXAMPLE, answer_format=answer_format))


@EACH
def test_its_verifier_takes_it(name):
    assert judge(parts.find("form", name)(EXAMPLE), EXAMPLE).strict


@EACH_OF_RATIONALES
@pytest.mark.parametrize("rationale", [None, ""])
def test_without_a_rationale_there_is_none(name, rationale):
    assert parts.find("form", name)(replace(EXAMPLE, rationale=rationale)) is None


@EACH
@pytest.mark.parametrize("piece", ["(", "1 + ", "<<", "= ", "9" * 50, "a ** ", "\n= 1", "\ud800", "1 + 1 = 2. "])
@pytest.mark.usefixtures("ends")
def test_a_long_and_strange_rationale_is_read(name, piece):
    made = parts.find("form", name)(replace(EXAMPLE, rationale=piece * (100_000 // len(piece))))
    assert made is None or made.strip()


@EACH
def test_generated_problems_have_it_and_it_is_right(name):
    for example in word_problems("train", size=50, operations=(1, 3)):
        text = parts.find("form", name)(example)
        assert text and judge(text, example).strict


@pytest.mark.skipif(not (REAL / "gsm8k").exists(), reason="GSM8K is not on this machine")
@pytest.mark.slow  # 5 s
@pytest.mark.parametrize(
    ("name", "share"), [("rationale", 1.0), ("answer", 1.0), ("equations", 0.95), ("socratic", 0.96)]
)
def test_nearly_all_of_gsm8k_has_it_with_and_without_calculator_notes(name, share):
    part = parts.find("form", name)
    for keep_notes in (False, True):
        examples = list(gsm8k("train", path=REAL, keep_notes=keep_notes))[:2000]
        texts = [part(example) for example in examples]
        assert sum(text is not None for text in texts) >= share * len(texts)
        assert all(judge(text, e).strict for text, e in zip(texts, examples, strict=True) if text)


def test_the_plain_ones_are_what_completions_are():
    assert parts.find("form", "rationale")(EXAMPLE) == completion_text(EXAMPLE)
    assert parts.find("form", "answer")(EXAMPLE) == completion_text(EXAMPLE, with_rationale=False)
