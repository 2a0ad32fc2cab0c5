"""Markers: the last complete one counts, and what is asked for is what is rendered and found again."""

from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from whit.core.answers import INSTRUCTIONS, render_answer
from whit.core.types import AnswerFormat
from whit.verifiers._extract import marked, spans

FORMATS = get_args(AnswerFormat)


@pytest.mark.parametrize("answer_format", FORMATS)
@given(gold=st.text("ab7 ,.-", min_size=1).map(str.strip).filter(bool), before=st.text("ab\n#{}<>\\", max_size=20))
def test_a_rendered_answer_is_found_again(answer_format, gold, before):
    gold = " ".join(gold.split())
    text = gold if answer_format == "plain" else f"{before.replace('#', '')}\n{render_answer(gold, answer_format)}"
    assert marked(text, answer_format) == gold


def test_every_format_has_an_instruction():
    assert set(INSTRUCTIONS) == set(FORMATS)


@pytest.mark.parametrize(
    ("text", "answer_format", "answer"),
    [
        ("#### 6\n#### 7\nDone.", "hash", "7"),
        ("####\n7", "hash", None),
        ("no marker", "hash", None),
        (r"\boxed{6} then \boxed{\frac{1}{2}} {x}", "boxed", r"\frac{1}{2}"),
        (r"\boxed{\boxed{7}}", "boxed", "7"),
        (r"\boxed{\{1, 2\}}", "boxed", r"\{1, 2\}"),
        (r"\boxed{6} and cut off \boxed{7", "boxed", "6"),
        (r"{ \boxed{7}", "boxed", "7"),
        (r"} \boxed {7}", "boxed", "7"),
        (r"\boxed{}", "boxed", None),
        ("<answer>6</answer> <answer>\n7\n</answer>", "tags", "7"),
        ("<answer>6</answer> <answer>7", "tags", "6"),
        ("7</answer>", "tags", None),
        ("  7\n", "plain", "7"),
        (" \n", "plain", None),
    ],
)
def test_the_last_complete_marker_counts(text, answer_format, answer):
    assert marked(text, answer_format) == answer


def test_the_lenient_rule_looks_at_the_asked_marker_then_the_others_then_the_last_phrase():
    text = "The answer is 1. <answer>2</answer> The answer to it is 3. \\boxed{4}"
    assert [span.split()[0] for span in spans(text, "tags")] == ["2", "4", "3.", "1."]
