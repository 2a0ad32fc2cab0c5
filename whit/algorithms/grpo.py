"""Group relative policy optimisation: the group is the baseline, no value model.  Source: arXiv:2402.03300."""

from functools import partial
from typing import Annotated

from pydantic import Field

from whit.algorithms._advantages import Scale, group_relative
from whit.algorithms._types import Algorithm
from whit.objectives._types import Reduction, Term
from whit.objectives.clipped_surrogate import clipped_surrogate


def grpo(
    *,
    group_size: Annotated[int, Field(ge=2)] = 8,
    clip: Annotated[float, Field(gt=0)] = 0.2,
    clip_high: float | None = None,
    scale: Scale = "group",
    reduction: Reduction = "sequence",
    constant_length: Annotated[int, Field(ge=1)] = 256,
    drop_equal: bool = False,
    num_updates: Annotated[int, Field(ge=1)] = 1,
) -> Algorithm:
    """The original GRPO: sequence mean of token means, standard-deviation scaling, every group kept.
    The paper adds `kl = { weight = 0.04 }`, a setting of the stage; libraries now leave it out.
    clip, clip_high: how far below and above 1 a ratio still counts; clip_high is `clip` where not set, 0.28 in DAPO.
    scale: what divides an advantage; the deviation of its group weighs prompts that nearly all or no rollouts solve more.
    constant_length: what reduction "constant" divides each sequence's sum by: Dr. GRPO's longest completion.
    drop_equal: leave out groups whose rewards are all equal; they have no advantage, only a place in the denominator.
    num_updates: optimizer steps on one batch of rollouts.
    """
    surrogate = partial(clipped_surrogate, clip=clip, clip_high=clip_high)
    terms = (Term(surrogate, reduction=reduction, constant_length=constant_length),)
    credit = partial(group_relative, scale=scale)
    return Algorithm(group_size, credit, terms, drop_equal=drop_equal, num_updates=num_updates)
