"""A user's reward function: both styles are understood, and whatever it does is counted."""

from pathlib import Path

import pytest

from whit.core.errors import PartError
from whit.core.types import Example
from whit.verifiers.reward_function import reward_function

REWARDS = """
from whit.core.types import Verdict

def half(completion, example): return 0.5
def own_verdict(completion, example): return Verdict(correct=True, answer=completion)
def boom(completion, example): raise KeyError("gold")
def nan(completion, example): return float("nan")
def nothing(completions, **kwargs): return [None]
def no_list(completions, **kwargs): return None
def one_number(completions, **kwargs): return 0.5
def many(completions, **kwargs): return [1.0, 1.0]
def trl(prompts, completions, answer, level, **kwargs):
    return [float(p == "2 + 2?" and c == a and l == 3) for p, c, a, l in zip(prompts, completions, answer, level)]
def chat(completions, answer):
    return [float(c[0]["content"] == a) for c, a in zip(completions, answer)]
"""
EXAMPLE = Example("1", "2 + 2?", "4", metadata={"level": 3})


@pytest.fixture(scope="module")
def rewards(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("rewards") / "rewards.py"
    file.write_text(REWARDS)
    return file


def test_a_trl_function_is_given_prompts_completions_gold_and_metadata(rewards):
    assert reward_function("4", EXAMPLE, function=f"{rewards}:trl").reward == 1.0
    assert reward_function("5", EXAMPLE, function=f"{rewards}:trl").reward == 0.0


def test_a_conversational_trl_function_is_given_messages(rewards):
    assert reward_function("4", EXAMPLE, function=f"{rewards}:chat", messages=True).correct
    crash = reward_function("4", EXAMPLE, function=f"{rewards}:chat")
    assert (crash.status, "TypeError" in crash.reason) == ("crash", True)


def test_the_threshold_decides_what_is_correct(rewards):
    assert not reward_function("4", EXAMPLE, function=f"{rewards}:half").correct
    assert reward_function("4", EXAMPLE, function=f"{rewards}:half", correct_at=0.5).correct


def test_a_verdict_of_the_function_is_kept_and_gets_a_reward(rewards):
    verdict = reward_function("4", EXAMPLE, function=f"{rewards}:own_verdict")
    assert (verdict.answer, verdict.reward) == ("4", 1.0)


@pytest.mark.parametrize(
    ("name", "status", "reason"),
    [
        ("boom", "crash", "KeyError: 'gold'"),
        ("nan", "crash", "returned nan"),
        ("many", "crash", "returned 2 rewards for one completion, needs one"),
        ("no_list", "crash", "no_list returned None, needs a list of one number a completion"),
        ("one_number", "crash", "returned 0.5, needs a list of one number a completion"),
        ("nothing", "no_answer", "returned None"),
    ],
)
def test_no_reward_is_not_zero(rewards, name, status, reason):
    verdict = reward_function("4", EXAMPLE, function=f"{rewards}:{name}")
    assert (verdict.correct, verdict.reward, verdict.status) == (False, None, status)
    assert reason in verdict.reason


def test_a_function_that_does_not_exist_stops_the_run(rewards):
    with pytest.raises(PartError, match="Did you mean 'half'"):
        reward_function("4", EXAMPLE, function=f"{rewards}:halff")
