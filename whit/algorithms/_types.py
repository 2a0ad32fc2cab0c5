"""What an RL algorithm is: data about credit and loss, not a program."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from torch import Tensor

from whit.core.types import Shaping
from whit.objectives._types import Term

Rewards = Sequence[Sequence[float]]
"""Of every rollout of a batch, a list a prompt."""
Credit = Callable[[Rewards], list[Tensor]]
"""From the rewards of a batch to the advantages of each prompt's G rollouts, [G] each."""


@dataclass(frozen=True)
class Critic:
    """Advantages by a value head instead of a group.

    gamma, lam: of generalised advantage estimation (arXiv:1506.02438).
    head_factor: learning rate of the head, as a multiple of the policy's.
    """

    gamma: float = 1.0
    lam: float = 1.0
    head_factor: float = 100.0


@dataclass(frozen=True)
class Algorithm:
    """From rewards to documents and a loss.

    group_size: rollouts a prompt.
    drop_equal: leave out groups whose rewards are all equal. refills: how often more prompts are sampled in their place.
    above: only rollouts whose reward is higher are trained on; None takes all.
    critic: makes advantages of the rewards in the place of `credit`.
    signal_before_shaping: whether lengths alone make no signal: rewards are compared before they are shaped.
    weigh: from what was right of every group to the weights of their advantages.
    num_updates: optimizer steps that share one batch of rollouts; above 1 the ratio's denominator is recorded first.
    shape: changes the rewards of a group by the lengths of its completions, before anything else sees them.
    drop_truncated: completions that the limit cut off are not trained on; they count in their group's baseline.
    needs_end: completions that the limit cut off earn nothing, whatever they say: rambling on must not pay.
    levels: sentences of which each prompt gets one, by name, such as how long an answer is wanted.
    """

    group_size: int
    credit: Credit
    terms: tuple[Term, ...]
    drop_equal: bool = False
    refills: int = 0
    signal_before_shaping: bool = False
    weigh: Callable[[Sequence[Sequence[bool]]], list[float]] | None = None
    above: float | None = None
    num_updates: int = 1
    shape: Shaping | None = None
    critic: Critic | None = None
    drop_truncated: bool = False
    needs_end: bool = False
    levels: Mapping[str, str] = field(default_factory=dict)
