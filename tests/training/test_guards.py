"""What the guards of RL see in figures that go wrong, and that they are silent about those that do not."""

import json

import pytest

from whit.training.guards import WINDOW, Guards

SOUND = {
    "reward": 0.4, "accuracy": 0.4, "format_rate": 0.9, "truncated": 0.05, "completion_tokens": 60.0, "equal_groups": 0.3,
    "not_judged": 0.0, "repeated": 0.02,
}  # fmt: skip


def said(first: dict[str, float], last: dict[str, float], **updates: tuple[float, float]) -> dict[str, str]:
    """What is said when figures go from the first to the last in three windows; updates: what the loss shows meanwhile."""
    heard: list[str] = []
    guards = Guards(heard.append)
    for step in range(3 * WINDOW):
        share = min(1.0, step / (2 * WINDOW))
        guards.see({k: (1 - share) * v + share * last.get(k, v) for k, v in {**SOUND, **first}.items()})
        guards.observe({k: (1 - share) * a + share * b for k, (a, b) in {"mismatch": (0.0, 0.0), **updates}.items()})
    assert heard == list(guards.said.values())  # each once
    return guards.said


def test_a_sound_training_is_left_alone():
    assert said({}, {"reward": 0.7, "accuracy": 0.7}, entropy=(0.5, 0.3), reference_gap=(0.0, 0.05)) == {}


@pytest.mark.parametrize(
    ("first", "last", "updates", "name", "hint"),
    [
        ({}, {}, {"entropy": (0.6, 0.0)}, "settles", "clip_high"),
        ({}, {}, {"entropy": (0.6, 3.0)}, "scatters", "kl = "),
        ({}, {"completion_tokens": 160.0, "truncated": 0.9}, {}, "runs_on", "soft_overlong"),
        ({"truncated": 0.4}, {"truncated": 0.7}, {}, "runs_on", "soft_overlong"),  # at the limit nothing can grow
        ({"format_rate": 0.2}, {"format_rate": 1.0, "accuracy": 0.3}, {}, "learns_the_form", "gated"),
        ({}, {"equal_groups": 1.0}, {}, "has_no_signal", "easier problems"),
        ({"accuracy": 0.95}, {"equal_groups": 1.0, "accuracy": 1.0}, {}, "has_no_signal", "harder problems"),
        ({"equal_groups": 1.0, "reward": 0.0, "accuracy": 0.0}, {}, {}, "one_reward", "whit doctor"),
        ({}, {}, {"reference_gap": (0.0, 1.5)}, "leaves", "kl.weight"),
        ({}, {"repeated": 0.8}, {}, "repeats", "repetition"),
        ({}, {"not_judged": 0.3}, {}, "cannot_be_judged", "whit doctor"),
        ({}, {}, {"mismatch": (0.2, 0.2)}, "mismatch", "float32"),
        ({"truncated": 1.0}, {"truncated": 1.0}, {}, "stop", "max_new_tokens"),
    ],
)
def test_what_goes_wrong_is_named_with_what_to_try(first, last, updates, name, hint):
    assert hint in said(first, last, **updates)[name]


def test_single_completions_have_no_groups_to_be_equal():
    guards = Guards(lambda _: None)
    for step in range(3 * WINDOW):
        guards.see({name: value for name, value in {**SOUND, "reward": step / 9}.items() if name != "equal_groups"})
    assert guards.said == {}


def test_imitation_learns_from_equal_groups_too():
    guards = Guards(lambda _: None, needs_spread=False)
    for step in range(3 * WINDOW):
        guards.see({**SOUND, "equal_groups": 1.0, "reward": step / 9})
    assert guards.said == {}


def test_form_is_not_blamed_on_a_reward_that_does_not_pay_for_it():
    text = said({"format_rate": 0.01}, {"format_rate": 0.35, "accuracy": 0.4})["learns_the_form"]
    assert text.startswith("the form that the prompt asks for went from ")
    assert "Where the reward pays for form, pay less for it" in text and "else run SFT first" in text


def test_one_reward_for_right_and_wrong_is_no_fault_of_the_model():
    warned = said({"equal_groups": 1.0, "reward": 0.5}, {})
    assert (
        warned.keys() == {"one_reward"} and "earned 0.5, and 40 % are right. Check the reward" in warned["one_reward"]
    )


def test_longer_answers_that_end_are_no_fault():
    assert "runs_on" not in said({}, {"completion_tokens": 200.0})


def test_form_that_comes_with_right_answers_is_no_fault():
    assert "learns_the_form" not in said({"format_rate": 0.2}, {"format_rate": 1.0, "accuracy": 0.6})


def test_it_goes_on_where_it_was_saved_and_repeats_nothing():
    heard: list[str] = []
    first = Guards(heard.append)
    for step in range(WINDOW):
        first.see({**SOUND, "equal_groups": 1.0, "reward": step / 10})
    assert len(heard) == 1
    second = Guards(heard.append)
    second.restore(json.loads(json.dumps(first.state())))
    second.see({**SOUND, "equal_groups": 1.0})
    assert len(heard) == 1 and second.said == first.said
