"""A reward that is paid only where a condition holds."""

from typing import Literal

from whit.core.own import finite
from whit.core.parts import bind
from whit.core.types import Verdict


def gated(
    verdict: Verdict,
    text: str,
    *,
    reward: str = "accuracy",
    gate: Literal["correct", "strict", "has_format"] = "correct",
    otherwise: float = 0.0,
) -> float:
    """The reward where the verdict says so, else `otherwise`.

    gate: "correct" pays for style of right answers only, "strict" for right answers in the form asked for; "has_format" is
        the rigid format reward of which small models without the format learn nothing (arXiv:2503.18892).
    """
    if not getattr(verdict, gate):
        return otherwise
    return finite(bind("reward", reward, {}, "reward gated")(verdict, text), f"reward gated: '{reward}'", text)
