"""Domains in fixed shares, whatever their sizes."""

from collections.abc import Mapping, Sequence

from whit.core.errors import RecipeError, did_you_mean
from whit.core.types import Example
from whit.curricula._types import Curriculum, domains_of, note_on


def mixture(examples: Sequence[Example], seed: int, *, shares: Mapping[str, float] | None = None) -> Curriculum:
    """shares: of each domain, in any unit; None takes all alike. What rounding takes from one, it gets later.

    A domain is what the column `domain` of a file holds, or what a task calls so in its metadata (rules, mixed).
    Raises RecipeError for a domain that the task does not have, and for one without a share.
    """
    members = domains_of(examples)
    shares = shares if shares is not None else dict.fromkeys(members, 1.0)
    for name in shares:
        if name not in members:
            raise RecipeError(f"curriculum mixture: the task has no domain '{name}'.{did_you_mean(name, members)}")
    if missing := sorted(members.keys() - shares.keys()):
        raise RecipeError(
            f"curriculum mixture: no share for {', '.join(missing)}. Give each domain one; 0 leaves it out."
        )
    if min(shares.values()) < 0 or not any(shares.values()):
        raise RecipeError(
            f"curriculum mixture: shares are {dict(shares)}. None may be below 0, and one has to be above it."
        )
    return _Mixture(examples, seed, {name: share for name, share in shares.items() if share > 0})


class _Mixture(Curriculum):
    def __init__(self, examples: Sequence[Example], seed: int, shares: Mapping[str, float]):
        super().__init__(examples, seed)
        self.members, self.shares = domains_of(examples), shares
        self.note = note_on(self.members, "mixture")

    def choose(self, count: int) -> list[int]:
        counts = self.counts_of(self.shares, count, self.members)
        return [index for name, own in counts.items() for index in self.next_of(name, self.members[name], own)]
