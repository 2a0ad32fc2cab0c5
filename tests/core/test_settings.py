"""Settings: TOML in and out, overrides by dotted names, and errors that name the place and the closest name."""

import re
import tomllib
from pathlib import Path
from typing import Annotated, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import Field

from whit.core.errors import RecipeError
from whit.core.settings import (
    Frozen,
    all_settings,
    check_settings,
    override,
    parse_model,
    read_toml,
    to_plain,
    write_toml,
)

KEYS = st.text(min_size=1, max_size=4)
VALUES = st.booleans() | st.integers(-(2**62), 2**62) | st.floats(allow_nan=False) | st.text(max_size=6)
TABLES = st.dictionaries(
    KEYS,
    st.recursive(
        VALUES, lambda inner: st.lists(inner, max_size=2) | st.dictionaries(KEYS, inner, max_size=2), max_leaves=6
    ),
    max_size=4,
)


@given(TABLES)
def test_what_is_written_as_toml_is_read_back(table):
    assert tomllib.loads(write_toml(table)) == table


def test_toml_reads_like_a_recipe():
    values = {
        "name": "r", "path": Path("a/b"), "left_out": None, "budget": {"flops": 2e17},
        "stage": [{"kind": "rl", "algorithm": {"name": "grpo", "betas": (0.9, 0.95)}}],
    }  # fmt: skip
    assert write_toml(values).splitlines() == [
        'name = "r"', 'path = "a/b"', "", "[budget]", "flops = 2e+17", "", "[[stage]]", 'kind = "rl"',
        'algorithm = { name = "grpo", betas = [0.9, 0.95] }',
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("assignment", "path", "value"),
    [
        ("seed=3", ("seed",), 3),
        ("name = new", ("name",), "new"),
        ("stage.2.lr=2e-5", ("stage", 1, "lr"), 2e-5),
        ("stage.1.deep.er=[1, 2]", ("stage", 0, "deep", "er"), [1, 2]),
        ("task=a=b", ("task",), "a=b"),
        ("task={name = 'x'}", ("task",), {"name": "x"}),
        ("flag=true", ("flag",), True),
    ],
)
def test_an_override_sets_one_value(assignment, path, value):
    tree = {"name": "r", "stage": [{"lr": 1.0}, {"lr": 1.0}]}
    override(tree, assignment)
    for key in path:
        tree = tree[key]
    assert tree == value


@pytest.mark.parametrize(
    ("assignments", "path", "value"),
    [
        (["task=add.csv", "task.answer_format=hash"], ("task",), {"name": "add.csv", "answer_format": "hash"}),
        (["task={name = 'add.csv'}", "task.seed=1"], ("task",), {"name": "add.csv", "seed": 1}),
        (["stage.1.algorithm.clip=0.1"], ("stage", 0, "algorithm"), {"name": "grpo", "clip": 0.1}),
    ],
)
def test_a_setting_below_a_part_that_is_written_as_its_name_makes_a_table_of_it(assignments, path, value):
    tree = {"stage": [{"algorithm": "grpo"}]}
    for assignment in assignments:
        override(tree, assignment)
    for key in path:
        tree = tree[key]
    assert tree == value


@pytest.mark.parametrize(
    ("assignment", "message"),
    [
        ("stage.0.lr=1", "'stage.0.lr': '0' is no stage: they count from 1, the last is 1."),
        ("stage.lr=1", "'stage.lr': 'lr' is no stage: they count from 1, the last is 1."),
        ("name.x=1", "'name.x': 'name' holds a value and has nothing below it."),
        ("name", "'name' is not an override."),
    ],
)
def test_an_override_that_points_nowhere(assignment, message):
    with pytest.raises(RecipeError, match=re.escape(message)):
        override({"name": "r", "stage": [{"lr": 1.0}]}, assignment)


class Inner(Frozen):
    rate: float = Field(0.5, gt=0)


class Pair(Inner):
    label: str = ""


class Named(Frozen):
    name: str
    weight: float = 1.0


class Outer(Frozen):
    named: tuple[Named, ...] = ()
    maybe: Inner | None = None
    inner: Inner = Inner()
    many: tuple[Inner, ...] = ()
    kind: Literal["a", "b"] = "a"


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"kidn": "a"}, "here.kidn: there is no setting 'kidn'. Did you mean 'kind'?"),
        ({"zzz": 1}, "here.zzz: there is no setting 'zzz'. There is: inner, kind, many, maybe, named."),
        ({"inner": {"rat": 1}}, "here.inner.rat: there is no setting 'rat'. Did you mean 'rate'?"),
        ({"many": [{}, {"rat": 1}]}, "here.many.2.rat: there is no setting 'rat'. Did you mean 'rate'?"),
        ({"many": [{}, {"rate": 0}]}, "here.many.2.rate: input should be greater than 0; given: 0."),
        (
            {"inner": 0.04},
            "here.inner: it takes a table and was given 0.04. Write inner = { rate = 0.04 }. Its settings are rate.",
        ),
        ({"maybe": 2}, "here.maybe: it takes a table and was given 2. Write maybe = { rate = 2 }."),
        (
            {"named": ["accuracy"]},
            'here.named.1: it takes a table and was given "accuracy". Write { name = "accuracy" }.',
        ),
        ({"inner": "much"}, "here.inner: it takes a table such as inner = { rate = ... } and was given 'much'."),
        ({"inner": [1]}, "here.inner: it takes a table such as inner = { rate = ... } and was given [1]."),
        ({"kind": "c"}, "here.kind: input should be 'a' or 'b'; given: 'c'."),
    ],
)
def test_an_error_names_the_path_and_the_closest_name(values, message):
    with pytest.raises(RecipeError, match=re.escape(message)):
        parse_model(Outer, values, "here")


def part(
    signal_T: object, *, size: Annotated[int, Field(ge=2)], inner: Inner = Inner(), label: str | None = None
) -> None:
    """A part with a setting that is needed and two that are not."""


def test_settings_of_a_part_are_checked_and_converted():
    assert check_settings(part, {"size": "3"}, "") == {"size": 3}
    assert check_settings(part, {"size": 2, "inner": {"rate": 1}}, "")["inner"] == Inner(rate=1.0)
    assert all_settings(part, {"size": 2}, "") == {"size": 2, "inner": Inner(), "label": None}


def test_a_table_given_in_part_keeps_the_rest_of_the_default():
    def stage(*, inner: Pair = Pair(rate=0.25, label="own")) -> None:
        """A stage with defaults of its own."""

    assert check_settings(stage, {"inner": {"rate": 2}}, "")["inner"] == Pair(rate=2.0, label="own")


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({}, "stage.1.size: this setting is needed and was not given."),
        ({"size": 1}, "stage.1.size: input should be greater than or equal to 2; given: 1."),
        ({"size": 2.5}, "stage.1.size: input should be a valid integer"),
        ({"size": 2, "signal_T": 1}, "stage.1.signal_T: there is no setting 'signal_T'."),
        ({"size": 2, "inner": {"rate": -1}}, "stage.1.inner.rate: input should be greater than 0; given: -1."),
    ],
)
def test_settings_that_a_part_does_not_take(settings, message):
    with pytest.raises(RecipeError, match=re.escape(message)):
        check_settings(part, settings, "stage.1")


def test_values_never_change_in_place():
    with pytest.raises(ValueError, match="frozen"):
        Inner().rate = 2.0


def test_plain_values_leave_out_what_is_not_set():
    assert to_plain({"a": None, "b": (Inner(), Path("x"))}) == {"b": [{"rate": 0.5}, "x"]}


def test_a_file_that_cannot_be_read(tmp_path):
    with pytest.raises(RecipeError, match="there is no file"):
        read_toml(tmp_path / "none.toml")
    (tmp_path / "bad.toml").write_bytes(b"name = '\xff'")
    with pytest.raises(RecipeError, match=r"bad\.toml is not valid TOML"):
        read_toml(tmp_path / "bad.toml")
