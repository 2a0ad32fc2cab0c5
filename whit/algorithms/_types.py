"""What an RL algorithm is: data about credit and loss, not a program."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from torch import Tensor

from whit.objectives._types import Term

Credit = Callable[[Sequence[float]], Tensor]
"""From the rewards of one prompt's G rollouts to their advantages [G]."""


@dataclass(frozen=True)
class Algorithm:
    """group_size: rollouts a prompt. drop_equal: leave out groups whose rewards are all equal.

    num_updates: optimizer steps that share one batch of rollouts; above 1 the ratio's denominator is recorded first.
    """

    group_size: int
    credit: Credit
    terms: tuple[Term, ...]
    drop_equal: bool = False
    num_updates: int = 1
