"""What an objective returns, and the term that puts one into a loss."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, TypeAlias

from torch import Tensor

from whit.core.parts import inputs

PerToken: TypeAlias = Tensor  # [T], one value per supervised token
Reduction = Literal["token", "sequence", "constant"]
"""How per-token values become one number over a whole optimizer step.

"token": mean over supervised tokens. "sequence": mean over sequences of the mean over their tokens.
"constant": sum over tokens, divided by sequences times a fixed length.
"""


@dataclass(frozen=True)
class Term:
    """coefficient x sum(weights x objective). `weight` may be a function of progress, 0 to 1."""

    objective: Callable[..., PerToken]
    weight: float | Callable[[float], float] = 1.0
    reduction: Reduction = "token"
    name: str = ""
    constant_length: int = 1  # the fixed length of the reduction "constant"

    def __post_init__(self) -> None:
        if not self.name:
            function = getattr(self.objective, "func", self.objective)
            object.__setattr__(self, "name", function.__name__)

    @property
    def is_grouped(self) -> bool:
        """Whether the objective gives a value a group of aligned tokens instead of one a token."""
        return any(name.endswith(("_GV", "_GW")) for name in inputs(self.objective))

    def coefficient(self, progress: float) -> float:
        return self.weight(progress) if callable(self.weight) else self.weight
