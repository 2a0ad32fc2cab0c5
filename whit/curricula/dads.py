"""Dads: more prompts of the domains that are solved least.  Source: RuleReasoner, arXiv:2506.08672."""

import math
from collections.abc import Mapping, Sequence
from typing import Annotated, Any

from pydantic import Field

from whit.core.types import Example
from whit.curricula._types import Curriculum, Tried, domains_of, note_on


def dads(
    examples: Sequence[Example],
    seed: int,
    *,
    alpha: Annotated[float, Field(ge=0, lt=1)] = 0.5,
    tau: Annotated[float, Field(gt=0)] = 0.5,
    eps: Annotated[float, Field(ge=0)] = 0.1,
    most: Annotated[float, Field(gt=0, le=1)] = 1.0,
    chance: Mapping[str, float] | None = None,
) -> Curriculum:
    """A domain's weight is exp((1 - r) / tau) + eps, r the moving average of its pass rate: the paper's form and values.

    A domain is what the column `domain` of a file holds, or what a task calls so in its metadata (rules, mixed).
    The published code differs: it clears its buffer, so that only the last batch counts, and every domain above 52 % weighs
    the same. Ours: r is a share of right answers (the paper's rewards are -1 and 1, with which tau acts twice as sharply);
    every domain keeps one prompt a step where there are enough, since one without prompts would keep its weight for ever;
    what rounding takes from a domain, it gets at a later step.
    alpha: of the moving average, kept a step. most: share that one domain may have: an unsolvable one takes no more.
    chance: pass rate of guessing, by domain; r then counts what lies above it.
    """
    return _Dads(examples, seed, alpha, tau, eps, most, chance or {})


class _Dads(Curriculum):
    def __init__(
        self, examples: Sequence[Example], seed: int, alpha: float, tau: float, eps: float, most: float,
        chance: Mapping[str, float],
    ):  # fmt: skip
        super().__init__(examples, seed)
        self.members = domains_of(examples)
        self.note = note_on(self.members, "dads")
        self.domain = {index: name for name, own in self.members.items() for index in own}
        self.alpha, self.tau, self.eps, self.most, self.chance = alpha, tau, eps, most, chance
        self.rates: dict[str, float] = {}

    def choose(self, count: int) -> list[int]:
        counts = self.counts_of(self.weights(), count, self.members)
        if count >= len(self.members):
            for name in [name for name, own in counts.items() if not own]:
                counts[max(counts, key=lambda other: counts[other])] -= 1
                counts[name] = 1
        return [i for name, own in counts.items() for i in self.next_of(name, self.members[name], own)]

    def weights(self) -> dict[str, float]:
        """The share of each domain; equal before anything was seen."""
        if not self.rates:
            return dict.fromkeys(self.members, 1 / len(self.members))
        seen = sum(self.rates.values()) / len(self.rates)  # what a domain that has not come yet is taken for
        raw = {name: math.exp((1 - self.rates.get(name, seen)) / self.tau) + self.eps for name in self.members}
        total = sum(raw.values())
        return _capped({name: value / total for name, value in raw.items()}, self.most)

    def see(self, tried: Sequence[Tried]) -> None:
        by_domain: dict[str, list[float]] = {}
        for one in tried:
            name = self.domain[one.index]
            guess = self.chance.get(name, 0.0)
            by_domain.setdefault(name, []).append(max(0.0, (one.pass_rate - guess) / (1 - guess)))
        for name, rates in by_domain.items():
            new = sum(rates) / len(rates)
            self.rates[name] = self.alpha * self.rates.get(name, new) + (1 - self.alpha) * new

    def numbers(self) -> dict[str, float]:
        return {f"weight of {name}": weight for name, weight in self.weights().items()}

    def state(self) -> dict[str, Any]:
        return {**super().state(), "rates": self.rates}

    def restore(self, state: Mapping[str, Any]) -> None:
        super().restore(state)
        self.rates = dict(state["rates"])


def _capped(shares: dict[str, float], most: float) -> dict[str, float]:
    """The shares with none above `most`; what is cut off goes to the others in proportion."""
    most = max(most, 1 / len(shares))
    while any(share > most + 1e-12 for share in shares.values()):
        full = {name for name, share in shares.items() if share >= most - 1e-12}
        rest = sum(share for name, share in shares.items() if name not in full)
        shares = {
            name: most if name in full else share * (1 - most * len(full)) / rest for name, share in shares.items()
        }
    return shares
