"""Every reward: a finite number that is never higher for being wrong."""

import inspect
import itertools
import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from whit.core import parts
from whit.core.types import Verdict

CONTROLS = {"random_control"}  # rewards that must know nothing
EACH = pytest.mark.parametrize("name", parts.names("reward"))
EACH_THAT_TEACHES = pytest.mark.parametrize("name", sorted(set(parts.names("reward")) - CONTROLS))
PIECES = ["<think>", "</think>", "<answer>", "</answer>", "#### 7", "\\boxed{7}", "7", " ", "\n", "\ud800"]
STATUSES = ("ok", "no_answer", "bad_gold", "timeout", "undecided", "crash")
TEXTS = ("", "7", "#### 7", "<think>a</think><answer>7</answer>")


@EACH
def test_it_is_given_a_verdict_and_a_text_and_its_settings_have_defaults(name):
    part = parts.find("reward", name)
    assert len(parts.inputs(part)) == 2
    for setting in parts.options(part).values():
        assert setting.default is not inspect.Parameter.empty
        assert setting.annotation is not inspect.Parameter.empty


@EACH
def test_its_docstring_says_what_it_is(name):
    assert len(parts.summary(parts.find("reward", name))) > 20


@EACH
@given(
    pieces=st.lists(st.one_of(st.sampled_from(PIECES), st.text(max_size=8)), max_size=20),
    correct=st.booleans(), has_format=st.booleans(), status=st.sampled_from(STATUSES),
)  # fmt: skip
@settings(deadline=None)
def test_it_gives_a_finite_number_for_anything_and_the_same_again(name, pieces, correct, has_format, status):
    reward = parts.find("reward", name)
    verdict = Verdict(correct and status == "ok", has_format=has_format, status=status)
    value = reward(verdict, "".join(pieces))
    assert isinstance(value, float) and math.isfinite(value)
    assert reward(verdict, "".join(pieces)) == value


@EACH_THAT_TEACHES
@pytest.mark.parametrize("text", TEXTS)
@pytest.mark.parametrize("has_format", [True, False])
def test_right_earns_more_than_wrong_in_the_same_form(name, text, has_format):
    reward = parts.find("reward", name)
    assert reward(Verdict(True, has_format=has_format), text) > reward(Verdict(False, has_format=has_format), text)


@EACH_THAT_TEACHES
def test_no_form_outscores_being_right(name):
    reward = parts.find("reward", name)
    forms = list(itertools.product((True, False), TEXTS))
    right = [reward(Verdict(True, has_format=form), text) for form, text in forms]
    wrong = [reward(Verdict(False, has_format=form), text) for form, text in forms]
    assert min(right) >= max(wrong)


@EACH
def test_the_form_alone_never_costs(name):
    reward = parts.find("reward", name)
    for correct, text in itertools.product((True, False), TEXTS):
        assert reward(Verdict(correct, has_format=True), text) >= reward(Verdict(correct), text)


@EACH
@pytest.mark.parametrize("piece", [*PIECES, "<think></think><answer>"])
@pytest.mark.usefixtures("ends")
def test_a_degenerate_completion_of_400k_characters_is_rewarded(name, piece):
    part = parts.find("reward", name)
    switches = {s: True for s, p in parts.options(part).items() if isinstance(p.default, bool)}
    for given_settings in ({}, switches):
        rewarded = part(Verdict(False), "<think>" + piece * (400_000 // len(piece)), **given_settings)
        assert math.isfinite(rewarded)
