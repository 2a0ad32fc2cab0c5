"""What a step adds up, and reads from its device once."""

from dataclasses import dataclass, field

import torch
from torch import Tensor


@dataclass
class Sums:
    """What a step adds up over micro-batches: per term weighted values, on the device until the step ends.

    totals: sums over tokens, and shares: over documents, of something that is shown and not trained on.
    """

    terms: dict[str, Tensor] = field(default_factory=dict)
    totals: dict[str, Tensor] = field(default_factory=dict)
    shares: dict[str, Tensor] = field(default_factory=dict)

    def add(self, name: str, value: Tensor) -> None:
        """Add to a term."""
        self.terms[name] = self.terms[name] + value if name in self.terms else value

    def watch(self, name: str, values_T: Tensor) -> None:
        """Add the sum over tokens of something that is shown and not trained on."""
        total = values_T.detach().sum()
        self.totals[name] = self.totals[name] + total if name in self.totals else total

    def count(self, name: str, values_N: Tensor) -> None:
        """Add the sum over documents of something that is shown and not trained on."""
        total = values_N.detach().float().sum()
        self.shares[name] = self.shares[name] + total if name in self.shares else total

    def merge(self, other: "Sums") -> None:
        for name, value in other.terms.items():
            self.add(name, value)
        for name, value in other.totals.items():
            self.watch(name, value)
        for name, value in other.shares.items():
            self.count(name, value)

    def read(self, **more: Tensor) -> dict[str, float]:
        """All of them, and `more`, as numbers: the one place where a step asks its device for any."""
        named = {**self.terms, **self.totals, **self.shares, **more}
        device = next(iter(self.terms.values())).device
        return dict(zip(named, torch.stack([v.to(device) for v in named.values()]).tolist(), strict=True))
