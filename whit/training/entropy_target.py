"""A bonus for entropy that comes and goes with the entropy.  Source: Skywork-OR1, arXiv:2505.22312; defaults of TRL."""

from collections.abc import Mapping
from typing import Any

from pydantic import Field, model_validator

from whit.core.settings import Frozen


class EntropyTarget(Frozen):
    """The entropy to keep, in nats a token, and how the bonus's weight moves.

    target: at or below it the bonus is paid and its weight rises by `change`, above it none is paid and the weight falls.
        0.2 is rarely reached at temperature 1: set it near the entropy that the first steps show.
    weight: the first one. most: where it ends rising; it falls to 0.
    """

    target: float = Field(0.2, gt=0)
    change: float = Field(0.005, gt=0)
    weight: float = Field(0.0, ge=0)
    most: float = Field(1.0, gt=0)

    @model_validator(mode="after")
    def _it_can_rise(self) -> "EntropyTarget":
        if self.weight > self.most:
            raise ValueError(f"weight={self.weight} is above most={self.most}, where it ends rising")
        return self


class EntropyKeeper:
    """The weight with its state. It looks at the mean entropy of the last update; before the first none is paid."""

    name = "entropy_target"

    def __init__(self, settings: EntropyTarget):
        self.settings, self.weight = settings, settings.weight
        self.is_paid = False

    def coefficient(self, progress: float) -> float:
        """What the next update multiplies the bonus with, whatever the progress."""
        return self.weight if self.is_paid else 0.0

    def observe(self, line: Mapping[str, float]) -> None:
        settings = self.settings
        self.is_paid = line["entropy"] <= settings.target
        change = settings.change if self.is_paid else -settings.change
        self.weight = min(settings.most, max(0.0, self.weight + change))

    def numbers(self) -> dict[str, float]:
        return {"entropy_weight": self.coefficient(0.0)}

    def state(self) -> dict[str, Any]:
        return {"weight": self.weight, "is_paid": self.is_paid}

    def restore(self, state: Mapping[str, Any]) -> None:
        self.weight, self.is_paid = state["weight"], state["is_paid"]
