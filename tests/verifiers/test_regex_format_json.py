"""Verifiers of form: what is needed of an example, and what a faulty one gives."""

from dataclasses import replace

import pytest

from whit.core.errors import DataError
from whit.core.types import Example
from whit.verifiers._judge import check_gold
from whit.verifiers.format import format
from whit.verifiers.json_schema import json_schema
from whit.verifiers.regex import regex


def example(**metadata):
    return Example("1", "?", "7", metadata=metadata)


@pytest.mark.parametrize(
    ("verdict", "reason"),
    [
        (regex("#### 7", example()), "no 'pattern'"),
        (regex("#### 7", example(pattern="(")), "cannot be read"),
    ],
)
def test_a_pattern_that_is_missing_or_broken_is_a_status(verdict, reason):
    assert verdict.status == "bad_gold" and reason in verdict.reason


def test_without_tags_the_form_is_the_marker():
    assert format("#### anything", example()).strict
    assert not format("anything", example()).correct


def test_tags_of_a_csv_are_separated_by_commas():
    assert format("<think>3 + 4</think><answer>7</answer>", example(tags="think, answer")).strict
    assert not format("<answer>7</answer>", example(tags="think, answer")).correct


def test_the_gold_answer_of_a_form_need_not_have_the_form():
    check_gold([replace(example(tags=["think", "answer"]), verifier="format", answer_format="plain")])
    with pytest.raises(DataError, match="the verifier 'regex' refuses its own gold answer '7' "):
        check_gold([replace(example(pattern="x"), verifier="regex")])


def test_a_refused_gold_answer_is_shown_as_it_was_judged_and_says_what_to_change():
    wrong = Example("1", "?", "one two", verifier="exact_number", answer_format="boxed")
    with pytest.raises(DataError, match=r"gold completion is '\\\\boxed\{one two\}'.*answer_format \(now 'boxed'\)"):
        check_gold([wrong])


@pytest.mark.parametrize("schema", [{"type": "nonsense"}, {"$ref": "http://localhost:1/other.json"}, 7])
def test_a_schema_that_cannot_be_used_is_a_status_and_nothing_is_fetched(schema):
    pytest.importorskip("jsonschema")
    assert json_schema("#### 7", example(schema=schema)).status == "bad_gold"


@pytest.mark.parametrize(("text", "reason"), [("#### seven", "no JSON found"), ('{"a": NaN}', "NaN is no JSON value")])
def test_what_is_not_json_is_counted_with_its_reason(text, reason):
    verdict = json_schema(text, example(schema={}))
    assert verdict.status == "no_answer" and reason in verdict.reason


def test_a_misfit_says_where():
    pytest.importorskip("jsonschema")
    schema = {"items": {"type": "integer"}}
    assert json_schema('#### [1, "b"]', example(schema=schema)).reason == "at $[1]: 'b' is not of type 'integer'"
