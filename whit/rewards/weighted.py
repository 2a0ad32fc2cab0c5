"""A weighted sum of other rewards."""

from pydantic import Field

from whit.core.own import finite
from whit.core.parts import bind
from whit.core.settings import Frozen
from whit.core.types import Verdict


class Share(Frozen):
    """One reward of a sum: its name, its weight, and its own settings."""

    reward: str
    weight: float = 1.0
    settings: dict[str, float | bool | str] = Field(default_factory=dict)


ACCURACY = (Share(reward="accuracy"),)


def weighted(verdict: Verdict, text: str, *, of: tuple[Share, ...] = ACCURACY) -> float:
    """The sum of weight x reward: `of = [{ reward = "accuracy" }, { reward = "my.py:brevity", weight = 0.1 }]`.

    Keep what is not accuracy so small that all of it together never outscores being right.
    """
    return float(sum(s.weight * _earned(s, verdict, text) for s in of))


def _earned(share: Share, verdict: Verdict, text: str) -> float:
    reward = bind("reward", share.reward, share.settings, "reward weighted")
    return finite(reward(verdict, text), f"reward weighted: '{share.reward}'", text)
