"""What a stage may spend and what it spent: operations, tokens and seconds, by purpose.

Operations decide (they are the same on every machine); seconds and tokens stand beside them.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from whit.core.errors import BudgetError

Purpose = Literal["train", "sample", "teacher", "reference", "prepass", "evaluate"]


@dataclass
class Spent:
    """One purpose's account. `tokens` counts tokens through a model's body, padding left out."""

    flops: float = 0.0
    tokens: int = 0
    seconds: float = 0.0


@dataclass
class Ledger:
    """The account of one stage. limit_flops: its ceiling; None for a stage that is not limited by operations."""

    limit_flops: float | None = None
    accounts: dict[str, Spent] = field(default_factory=dict)

    @property
    def flops(self) -> float:
        """Operations spent on everything that is charged to the budget."""
        return sum(account.flops for account in self.accounts.values())

    @property
    def seconds(self) -> float:
        return sum(account.seconds for account in self.accounts.values())

    @property
    def progress(self) -> float:
        """Share of the ceiling that is spent, 0 to 1."""
        return min(1.0, self.flops / self.limit_flops) if self.limit_flops else 0.0

    def fits(self, flops: float) -> bool:
        """Whether that many operations more stay under the ceiling."""
        return self.limit_flops is None or self.flops + flops <= self.limit_flops

    def charge(self, purpose: Purpose, *, flops: float = 0.0, tokens: int = 0, seconds: float = 0.0) -> None:
        account = self.accounts.setdefault(purpose, Spent())
        account.flops += flops
        account.tokens += tokens
        account.seconds += seconds

    @contextmanager
    def timed(self, purpose: Purpose) -> Iterator[None]:
        """Charge the seconds of the block to a purpose."""
        start = time.perf_counter()
        try:
            yield
        finally:
            self.charge(purpose, seconds=time.perf_counter() - start)

    def require(self, flops: float, what: str) -> None:
        """Raises BudgetError when not even this first piece of work fits."""
        if not self.fits(flops):
            raise BudgetError(
                f"{what} needs {flops:.3g} FLOPs, but {self._left()}: the budget is too small for one step. "
                "Raise the budget, or make the step smaller (fewer documents, prompts or samples a step)."
            )

    def _left(self) -> str:
        """What is left, in words; a round of completions, and a stage, may spend more than there was."""
        limit = self.limit_flops or 0.0
        if limit <= 0:
            return f"the stages before it overran the budget by {-limit:.3g}, and nothing is left"
        if self.flops >= limit:
            dearest = max(self.accounts, key=lambda purpose: self.accounts[purpose].flops)
            return f"of the stage's {limit:.3g} nothing is left: {self.flops:.3g} are spent, most of them to {dearest}"
        return f"only {limit - self.flops:.3g} of {limit:.3g} are left"

    def to_plain(self) -> dict[str, Any]:
        return {"limit_flops": self.limit_flops, "accounts": {k: asdict(v) for k, v in self.accounts.items()}}

    @classmethod
    def from_plain(cls, plain: dict[str, Any]) -> "Ledger":
        return cls(plain["limit_flops"], {k: Spent(**v) for k, v in plain["accounts"].items()})
