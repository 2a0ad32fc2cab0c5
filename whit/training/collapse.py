"""Whether a training that ended went wrong: its own reward fell away, or its own loss rose.

A collapse is an outcome that is recorded and shown. It is judged by what the training itself optimised: the end of it
against the best of a reward, and against the beginning of a loss. It has to be larger than the noise of the steps.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean, variance

from whit.objectives._types import Term

LEAST_STEPS = 5  # in a window
WINDOW_FRAC = 0.125
NOISE = 4.0  # standard errors of the difference of the windows
# Their gradient is meant; their value is no loss.
SURROGATES = (
    "clipped_surrogate", "clipped_weight", "entropy_bonus", "mixed_policy", "policy_gradient",
    "sampled_reverse_kl", "sequence_surrogate",
)  # fmt: skip
FALL = 0.5  # a reward that lost more than this share of its best
RISE = 2.0  # a loss that ends above so many times where it began,
LEAST_RISE = 0.1  # and by so many nats: twice next to nothing is nothing


def collapse(lines: Sequence[Mapping[str, float]], terms: Sequence[str], *, by_reward: bool) -> str:
    """What collapsed, in words, from the lines of `metrics.jsonl`; "" when nothing did, or the steps are too few to say.

    terms: names of the loss's terms.

    by_reward: whether the training maximised the reward, which then decides: the loss of a policy gradient means nothing.
        What entropy and truncation did meanwhile is said beside it: entropy near 0, and entropy that grows, are the two
        ways down.
    """
    if not by_reward:
        losses = [name for name in terms if name not in SURROGATES]
        risen = [
            (name, windows)
            for name in losses
            for own in _by_text(lines, name)
            if (windows := _windows(own, name)) and _rises(windows)
        ]
        return "; ".join(f"{name} rose from {w[0]} to {w[-1]}" for name, w in risen)
    windows = _windows(lines, "reward")
    best = max(windows[:-1], key=lambda window: window.mean, default=None)
    if best is None or not _falls(best, windows[-1]):
        return ""
    said = [f"the reward fell from {best} to {windows[-1]}"]
    for name in ("entropy", "truncated"):
        if also := _windows(lines, name):
            said.append(f"{name} went from {also[0].mean:.2f} to {also[-1].mean:.2f}")
    return "; ".join(said)


def without_schedules(lines: Sequence[Mapping[str, float]], terms: Sequence[Term]) -> list[dict[str, float]]:
    """Lines of `metrics.jsonl` with each term that a schedule weighs as it is without its weight; where that is 0, without.

    A loss whose weight grows is no loss that rises.
    """
    found = []
    for line in lines:
        plain = dict(line)
        for term in terms:
            if callable(term.weight) and term.name in plain:
                value, weight = plain.pop(term.name), term.coefficient(plain["progress"])
                if weight:
                    plain[term.name] = value / weight
        found.append(plain)
    return found


def _by_text(lines: Sequence[Mapping[str, float]], name: str) -> list[list[Mapping[str, float]]]:
    """The steps on the data's text and those on the student's own: a loss differs between them. Steps that a term has no
    part in, whose value is 0, are left out.
    """
    taken = [line for line in lines if line.get(name)]
    return [[line for line in taken if bool(line.get("on_policy")) == is_own] for is_own in (False, True)]


@dataclass(frozen=True)
class _Window:
    """Neighbouring values of a figure: their mean, the variance of that mean, and where they stand, counted from 1."""

    mean: float
    variance: float
    first: int
    last: int

    def __str__(self) -> str:
        return f"{self.mean:.2f} (steps {self.first} to {self.last})"


def _windows(lines: Sequence[Mapping[str, float]], name: str) -> list[_Window]:
    """A figure's values in windows of one size, from the first value to the last; none where two are not full."""
    values = [(number, line[name]) for number, line in enumerate(lines, 1) if name in line]
    size = max(LEAST_STEPS, round(WINDOW_FRAC * len(values)))
    if len(values) < 2 * size:
        return []
    rest = len(values) % size  # left out behind the first window
    cut = [values[start : start + size] for start in (0, *range(size + rest, len(values), size))]
    return [
        _Window(fmean(v for _, v in part), variance(v for _, v in part) / size, part[0][0], part[-1][0]) for part in cut
    ]


def _falls(best: _Window, last: _Window) -> bool:
    fall = best.mean - last.mean
    return fall > FALL * abs(best.mean) and fall > NOISE * math.sqrt(best.variance + last.variance)


def _rises(windows: Sequence[_Window]) -> bool:
    first, last = windows[0], windows[-1]
    rise = last.mean - first.mean
    noise = NOISE * math.sqrt(first.variance + last.variance)
    return last.mean > RISE * first.mean and rise > max(LEAST_RISE, noise)
