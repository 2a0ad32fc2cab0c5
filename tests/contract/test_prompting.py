"""Every way of prompting: messages that a chat template takes, the same every time, with the problem asked last."""

import inspect
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import pytest

from whit.core import parts
from whit.core.answers import INSTRUCTIONS, render_answer
from whit.core.types import Example, Message
from whit.data.render import Renderer
from whit.prompting.zero_shot import zero_shot
from whit.testing.tiny import tiny_tokenizer

EACH = pytest.mark.parametrize("name", parts.names("prompting"))
SUPPLIED: dict[str, Any] = {
    "demonstrations": [Example(f"d{n}", f"{n} + 2?", str(n + 2), rationale="Add.") for n in range(9)]
}
EXAMPLE = Example("a", "1 + 1?", "99")
SUPPLIED["near"] = {"a": SUPPLIED["demonstrations"][:3]}
PLAINEST = {"few_shot": {"shots": 0}}  # settings at which a way is zero-shot, where it has such


def way(name: str, **given: Any) -> Callable[[Example], list[Message]]:
    """The way of this name, with what the system supplies beside the example."""
    part = parts.find("prompting", name)
    first, *others = parts.inputs(part)
    assert first == "example"
    return partial(part, **{other: SUPPLIED[other] for other in others}, **given)


@EACH
def test_its_settings_have_defaults_and_types(name):
    for setting in parts.options(parts.find("prompting", name)).values():
        assert setting.default is not inspect.Parameter.empty
        assert setting.annotation is not inspect.Parameter.empty


@EACH
def test_its_docstring_says_what_it_is(name):
    assert len(parts.summary(parts.find("prompting", name))) > 20


@EACH
def test_the_same_question_is_asked_in_the_same_way_every_time(name):
    assert way(name)(EXAMPLE) == way(name)(EXAMPLE)


@EACH
def test_user_and_assistant_take_turns_and_the_user_asks_last(name):
    turns = [message.role for message in way(name)(EXAMPLE) if message.role != "system"]
    assert turns[::2] == ["user"] * len(turns[::2]) and turns[1::2] == ["assistant"] * len(turns[1::2])
    assert turns[-1] == "user"


@EACH
@pytest.mark.parametrize("answer_format", INSTRUCTIONS)
def test_the_last_turn_states_the_problem_and_how_to_answer(name, answer_format):
    *_, last = way(name)(replace(EXAMPLE, answer_format=answer_format))
    assert "1 + 1?" in last.content and INSTRUCTIONS[answer_format] in last.content


@EACH
def test_an_instruction_of_the_example_s_own_takes_the_place_of_the_sentence(name):
    asked = [way(name)(replace(EXAMPLE, instruction=own))[-1].content for own in ("Say it in one word.", "")]
    assert "Say it in one word." in asked[0]
    assert all(INSTRUCTIONS["hash"] not in content for content in asked)


@EACH
def test_the_gold_answer_is_never_told(name):
    told = " ".join(message.content for message in way(name)(EXAMPLE))
    assert "99" not in told and render_answer(EXAMPLE.gold, "hash") not in told


@EACH
def test_the_renderer_takes_it(name):
    renderer = Renderer(tiny_tokenizer(), max_length=4096)
    assert len(renderer.prompt(way(name)(EXAMPLE))) >= len(renderer.prompt(zero_shot(EXAMPLE)))


@EACH
def test_at_its_plainest_it_is_zero_shot(name):
    if name not in PLAINEST and name != "zero_shot":
        pytest.skip("has no such settings")
    assert way(name, **PLAINEST.get(name, {}))(EXAMPLE) == zero_shot(EXAMPLE)


@EACH
def test_another_seed_is_another_choice(name):
    if "seed" not in parts.options(parts.find("prompting", name)):
        pytest.skip("draws nothing")
    asked = {tuple(way(name, seed=seed)(EXAMPLE)) for seed in range(5)}
    assert len(asked) > 1
    assert way(name, seed=1)(EXAMPLE)[:-1] == way(name, seed=1)(replace(EXAMPLE, id="b", prompt="5?"))[:-1]
