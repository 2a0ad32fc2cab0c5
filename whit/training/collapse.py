"""Whether a training that ended went wrong: its own reward fell away, or its own loss rose.

A collapse is an outcome that is recorded and shown. It is judged by what the training itself optimised, at its two ends,
and has to be larger than the noise of its steps.
"""

import math
from collections.abc import Mapping, Sequence
from statistics import fmean, variance

from whit.core.parts import names

LEAST_STEPS = 5  # in each of the two windows
WINDOW_FRAC = 0.125
NOISE = 4.0  # standard errors of the difference of the windows
FALL = 0.5  # a reward that lost more than this share of where it began
RISE = 2.0  # a loss that ends above so many times where it began,
LEAST_RISE = 0.1  # and by so many nats: twice next to nothing is nothing


def collapse(lines: Sequence[Mapping[str, float]]) -> str:
    """What collapsed, in words, from the lines of `metrics.jsonl`; "" when nothing did, or the steps are too few to say.

    With a reward, the reward decides: the loss of a policy gradient means nothing. What entropy, length and truncation did
    meanwhile is said beside it: entropy near 0 and entropy that grows are the two ways down.
    """
    if any("reward" in line for line in lines):
        ends = _ends(lines, "reward")
        if ends is None or not ends.falls:
            return ""
        beside = [_words(name, also) for name in ("entropy", "truncated") if (also := _ends(lines, name))]
        return "; ".join([f"the reward fell {ends}", *beside])
    risen = [(name, ends) for name in names("objective") if (ends := _ends(lines, name)) and ends.rises]
    return "; ".join(f"{name} rose {ends}" for name, ends in risen)


class _Ends:
    """A figure at both ends of a training: means over windows, and the noise of their difference."""

    def __init__(self, first: Sequence[float], last: Sequence[float]):
        self.first, self.last, self.steps = fmean(first), fmean(last), len(first)
        self.error = math.sqrt(variance(first) / len(first) + variance(last) / len(last))

    @property
    def falls(self) -> bool:
        fall = self.first - self.last
        return fall > FALL * abs(self.first) and fall > NOISE * self.error

    @property
    def rises(self) -> bool:
        rise = self.last - self.first
        return self.last > RISE * self.first and rise > LEAST_RISE and rise > NOISE * self.error

    def __str__(self) -> str:
        return f"from {self.first:.2f} (first {self.steps} steps) to {self.last:.2f} (last {self.steps})"


def _ends(lines: Sequence[Mapping[str, float]], name: str) -> _Ends | None:
    values = [line[name] for line in lines if name in line]
    window = max(LEAST_STEPS, round(WINDOW_FRAC * len(values)))
    return _Ends(values[:window], values[-window:]) if len(values) >= 2 * window else None


def _words(name: str, ends: _Ends) -> str:
    return f"{name} went from {ends.first:.2f} to {ends.last:.2f}"
