"""The terms of a loss as a recipe writes them: an objective by name, its settings, its weight and its reduction."""

from collections.abc import Callable, Sequence
from typing import Any, Literal

from pydantic import ConfigDict, Field, model_validator

from whit.core.parts import bind
from whit.core.settings import Frozen
from whit.objectives._types import Reduction, Term


class WeightSchedule(Frozen):
    """A weight that moves from `start` to `end` in a straight line over the stage's budget."""

    schedule: Literal["linear"] = "linear"
    start: float
    end: float

    def at(self, progress: float) -> float:
        return self.start + (self.end - self.start) * progress


class TermSpec(Frozen):
    """{ objective = "forward_kl", weight = 0.5, temperature = 2.0 }: what is not named here is the objective's setting.

    on: the texts that it is taken on, where a stage trains on several: "data" that was given or that the teacher wrote,
        what the "student" wrote, or "all".
    """

    model_config = ConfigDict(extra="allow", frozen=True)

    objective: str
    weight: float | WeightSchedule = 1.0
    reduction: Reduction = "token"
    constant_length: int = Field(1, gt=0)
    on: Literal["all", "data", "student"] = "all"

    @model_validator(mode="after")
    def _objective_exists(self) -> "TermSpec":
        self._bound()
        return self

    def build(self) -> Term:
        weight: float | Callable[[float], float] = (
            self.weight.at if isinstance(self.weight, WeightSchedule) else self.weight
        )
        return Term(self._bound(), weight, self.reduction, constant_length=self.constant_length)

    def _bound(self) -> Callable[..., Any]:
        return bind("objective", self.objective, self.model_extra or {})


def build_terms(specs: Sequence[TermSpec]) -> list[Term]:
    """The terms of a stage."""
    return [spec.build() for spec in specs]
