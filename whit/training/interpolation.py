"""How far TAID's target has moved from the student to the teacher.  Source: arXiv:2501.16937 and its code."""

import math
from collections.abc import Mapping
from typing import Any

from pydantic import Field, model_validator

from whit.core.settings import Frozen


class Interpolation(Frozen):
    """The schedule's settings; their defaults are the code's.

    start, end: where it begins and where it stops. alpha: the longest adaptive step, 0 for the linear schedule alone.
    beta: of the momentum over relative improvements of the loss.
    """

    start: float = Field(0.4, ge=0, lt=1)
    end: float = Field(1.0, gt=0, le=1)
    alpha: float = Field(5e-4, ge=0, le=1)
    beta: float = Field(0.99, ge=0, lt=1)

    @model_validator(mode="after")
    def _it_rises(self) -> "Interpolation":
        if self.start >= self.end:
            raise ValueError(
                f"start={self.start} and end={self.end}: the target moves towards the teacher, so end is more"
            )
        return self


class Interpolator:
    """The schedule with its three numbers of state. `value` is t; a step's loss moves it for the next step.

    t never falls below the straight line from start to end, and never passes the end.
    """

    name = "interpolation"

    def __init__(self, settings: Interpolation, term: str = "taid"):
        self.settings, self.term = settings, term
        self.value, self.momentum = settings.start, 0.0
        self.previous: float | None = None

    def observe(self, line: Mapping[str, float]) -> None:
        """Move t after a training step. line: its record, with the term's loss and the progress before the step.

        A step whose texts the term was not taken on, so that its loss is 0, says nothing.
        """
        settings, loss = self.settings, line[self.term]
        if not loss:
            return
        linear = settings.start + (settings.end - settings.start) * line["progress"]
        step = 0.0
        if self.previous is not None:
            improvement = (self.previous - loss) / (self.previous + 1e-15)
            self.momentum = settings.beta * self.momentum + (1 - settings.beta) * improvement
            step = settings.alpha / (1 + math.exp(-max(self.momentum, -50.0))) * (1 - self.value)
        self.previous = loss
        self.value = min(settings.end, max(linear, self.value + step))

    def numbers(self) -> dict[str, float]:
        return {"interpolation": self.value}

    def state(self) -> dict[str, Any]:
        return {"value": self.value, "momentum": self.momentum, "previous": self.previous}

    def restore(self, state: Mapping[str, Any]) -> None:
        self.value, self.momentum, self.previous = state["value"], state["momentum"], state["previous"]
