"""Every verifier: the table in its docstring holds, and no completion makes it raise or takes long."""

import inspect
import json
import re
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any, get_args

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from whit.core import parts
from whit.core.types import AnswerFormat, Example, Verdict

LINE = re.compile(r"(?P<verb>strict|accepts|refuses)(?: (?P<format>\w+))?: (?P<gold>.*?) \|(?P<completion>.*)")
VERIFIERS = parts.names("verifier")
FORMATS = get_args(AnswerFormat)
MARKERS = ["####", "\\boxed{", "<answer>", "</answer>", "{", "}", "the answer is ", "answer to the "]
HOSTILE = [*MARKERS, "1,111", "1 1/", "9", " ", "\n", "$-", "A ", "B ", "=", "\\frac{1}{", "x = ", "٣", "𝟛", "\ud800"]


def about(name: str, gold: str, answer_format: AnswerFormat = "hash") -> Example:
    """An example for a verifier, with the labels and the metadata that its docstring names."""
    doc = inspect.getdoc(parts.find("verifier", name)) or ""
    choices = re.search(r"^choices: (.*)$", doc, re.MULTILINE)
    metadata = re.search(r"^metadata: (.*)$", doc, re.MULTILINE)
    return Example(
        "1", "?", gold, choices=tuple(choices[1].split(", ")) if choices else (), answer_format=answer_format,
        metadata=json.loads(metadata[1]) if metadata else {},
    )  # fmt: skip


def table(name: str) -> list[tuple[str, Example, str]]:
    """(verb, example, completion) for every line of the docstring's table; '\\n' in a line is a line break.

    Lines "choices: A, B" and "metadata: {JSON}" above the table say what its examples carry.
    """
    doc = inspect.getdoc(parts.find("verifier", name)) or ""
    rows = []
    for found in filter(None, map(LINE.fullmatch, doc.splitlines())):
        example = about(name, found["gold"].replace("\\n", "\n"), found["format"] or "hash")
        rows.append((found["verb"], example, found["completion"].strip().replace("\\n", "\n")))
    return rows


@pytest.fixture(scope="module")
def verifier_of(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Callable[[str], Callable[[str, Example], Verdict]]:
    """The verifier of a name, with the settings that it cannot do without."""
    reward = tmp_path_factory.mktemp("rewards") / "same.py"
    reward.write_text("def same(completion, example):\n    return completion == example.gold\n")
    needed: dict[str, dict[str, Any]] = {"reward_function": {"function": f"{reward}:same"}}

    def bound(name: str) -> Callable[[str, Example], Verdict]:
        if name == "python_tests":
            request.getfixturevalue("sandbox")
        return partial(parts.find("verifier", name), **needed.get(name, {}))

    return bound


# 200 programs in the sandbox take 3 s; the others are quick.
EACH = [pytest.param(name, marks=pytest.mark.slow) if name == "python_tests" else name for name in VERIFIERS]
ROWS = [(name, *row) for name in VERIFIERS for row in table(name)]


@pytest.mark.parametrize(("name", "verb", "example", "completion"), ROWS)
def test_the_table_in_the_docstring_holds(verifier_of, name, verb, example, completion):
    if name == "reward_function":
        verb = verb.replace("strict", "accepts")  # the format is the business of the user's function
    verdict = verifier_of(name)(completion, example)
    assert verdict.correct == (verb != "refuses"), verdict
    assert verdict.strict == (verb == "strict"), verdict


@pytest.mark.parametrize("name", VERIFIERS)
def test_the_table_accepts_and_refuses_something(name):
    assert {verb for verb, _, _ in table(name)} >= {"strict", "refuses"}


@pytest.mark.parametrize("name", VERIFIERS)
@pytest.mark.parametrize("answer_format", FORMATS)
def test_an_empty_completion_is_never_correct(verifier_of, name, answer_format):
    example = replace(about(name, "7", answer_format), choices=("7", "8"))
    for nothing in ("", " ", "\n"):
        verdict = verifier_of(name)(nothing, example)
        assert not verdict.correct
        assert not verdict.has_format


@pytest.mark.parametrize("name", EACH)
@given(pieces=st.lists(st.one_of(st.sampled_from(HOSTILE), st.text(max_size=8)), max_size=30), data=st.data())
@settings(max_examples=200, deadline=None)
def test_no_completion_makes_it_raise(verifier_of, name, pieces, data):
    gold = data.draw(st.sampled_from(["7", "A", "", "1/0", "٣", "9" * 5000]))
    answer_format = data.draw(st.sampled_from(FORMATS))
    example = replace(about(name, gold, answer_format), choices=("A", "7"))
    verdict = verifier_of(name)("".join(pieces), example)
    assert not verdict.strict or (verdict.correct and verdict.has_format)
    assert verdict.status == "ok" or not verdict.correct


@pytest.mark.parametrize("name", VERIFIERS)
@pytest.mark.usefixtures("ends")
def test_a_degenerate_completion_of_400k_characters_is_judged(verifier_of, name):
    example = replace(about(name, "7", "boxed"), choices=("A", "7", "B C"))
    verifier_of(name)("\\boxed{8}", example)  # it may import something
    for piece in HOSTILE:
        assert not verifier_of(name)(piece * (400_000 // len(piece)), example).strict, repr(piece)
