"""The reference study's reward: the answer and the form, each +1 or -1 (arXiv:2506.13404, eq. 1-2)."""

import pytest

from whit.core.types import Verdict
from whit.rewards.format_accuracy import format_accuracy

PUBLISHED = "<think>3 + 4</think><answer>7</answer>"


@pytest.mark.parametrize(
    ("correct", "in_form", "reward"), [(True, True, 2.0), (True, False, 0.0), (False, True, 0.0), (False, False, -2.0)]
)
def test_the_four_cases(correct, in_form, reward):
    assert format_accuracy(Verdict(correct, has_format=in_form), "") == reward
    assert format_accuracy(Verdict(correct), PUBLISHED if in_form else "7", tags=True) == reward


def test_by_default_the_form_is_the_one_that_the_prompt_asked_for():
    assert format_accuracy(Verdict(correct=True, has_format=False), PUBLISHED) == 0.0


def test_with_tags_it_is_the_published_one_alone():
    assert format_accuracy(Verdict(correct=True, has_format=True), "#### 7", tags=True) == 0.0


@pytest.mark.parametrize(
    ("text", "has_form"),
    [
        (PUBLISHED, True),
        ("<think>\n3 + 4\n= 7\n</think>\n\n<answer>\n7\n</answer>", True),
        ("Well. <think></think> <answer></answer> That is all.", True),
        ("<think>a</think> so <think>b</think><answer>7</answer>", True),
        ("<think>a</think> so <answer>7</answer>", False),
        ("<answer>7</answer><think>3 + 4</think>", False),
        ("<answer>7</answer>", False),
        ("<think>3 + 4<answer>7</answer>", False),
        ("<think>3 + 4</think><answer>7", False),
        ("</think><answer>7</answer>", False),
        ("", False),
    ],
)
def test_thoughts_then_an_answer(text, has_form):
    assert format_accuracy(Verdict(correct=False), text, tags=True) == (0.0 if has_form else -2.0)


@pytest.mark.parametrize(
    "piece", ["<think>", "</think>", "<think></think><answer>", "<think> </think> ", "</think> \n"]
)
@pytest.mark.usefixtures("ends")
def test_a_degenerate_completion_of_400k_characters_is_read(piece):
    assert format_accuracy(Verdict(correct=False), "<think>" + piece * (400_000 // len(piece)), tags=True) in (0, -2)
