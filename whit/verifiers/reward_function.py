r"""A reward function of your own, or one written for TRL, as a verifier."""

import inspect
import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from whit.core.own import told_when_still
from whit.core.parts import find
from whit.core.types import Example, Verdict
from whit.verifiers._extract import marked


def reward_function(
    completion: str, example: Example, *, function: str, correct_at: float = 1.0, messages: bool = False
) -> Verdict:
    r"""What the function in `function` says, as a verdict that carries its reward.

    function: "path/to/file.py:name" or "package.module:name", in one of two styles told apart by the parameters:
        f(completion, example) -> float, bool or Verdict;
        f(completions=[..], prompts=[..], answer=[gold], **columns) -> [float or None], as TRL calls it, where the
        columns are the example's metadata.
    correct_at: the reward from which the completion counts as correct.
    messages: give a TRL function its prompt and completion as lists of chat messages (TRL's conversational form).
    An exception, a wrong type or a reward that is not finite is a "crash" with the reason; None is "no_answer".

    strict: 7 | 7
    refuses: 7 | 8
    refuses: 7 |
    """
    call = find("verifier", function)
    try:
        with told_when_still(f"verifier {function}"):
            result = _call(call, completion, example, messages)
        if isinstance(result, Verdict):
            return result if result.reward is not None else replace(result, reward=float(result.correct))
        reward = None if result is None else float(result)
    except _NoRewardError as error:
        return Verdict(correct=False, status="crash", reason=f"{function} {error}")
    except Exception as error:  # whatever the user's code raises is a fact about this completion, to be counted
        return Verdict(correct=False, status="crash", reason=f"{function}: {type(error).__name__}: {error}")
    if reward is None:
        return Verdict(correct=False, status="no_answer", reason=f"{function} returned None")
    if not math.isfinite(reward):
        return Verdict(correct=False, status="crash", reason=f"{function} returned {reward}")
    correct = reward >= correct_at - 1e-9
    has_format = marked(completion, example.answer_format) is not None
    return Verdict(correct=correct, strict=correct and has_format, has_format=has_format, reward=reward)


class _NoRewardError(Exception):
    """What a function written for TRL returned is no list of one reward."""


def _call(call: Callable[..., Any], completion: str, example: Example, messages: bool) -> Any:
    parameters = inspect.signature(call).parameters
    if "completions" not in parameters:
        return call(completion, example)
    columns = {
        **{name: [value] for name, value in example.metadata.items()},
        "prompts": [[{"role": "user", "content": example.prompt}] if messages else example.prompt],
        "completions": [[{"role": "assistant", "content": completion}] if messages else completion],
        "answer": [example.gold],
    }
    takes_all = any(p.kind is inspect.Parameter.VAR_KEYWORD for p in parameters.values())
    rewards = call(**{name: value for name, value in columns.items() if takes_all or name in parameters})
    if rewards is None or isinstance(rewards, int | float | str):
        raise _NoRewardError(f"returned {rewards!r}, needs a list of one number a completion")
    if len(rewards) != 1:
        raise _NoRewardError(f"returned {len(rewards)} rewards for one completion, needs one")
    return rewards[0]
