"""Group relative policy optimisation: the group is the baseline, no value model.  Source: arXiv:2402.03300."""

from functools import partial
from typing import Annotated

from pydantic import Field

from whit.algorithms._advantages import group_relative
from whit.algorithms._types import Algorithm
from whit.objectives._types import Reduction, Term
from whit.objectives.clipped_surrogate import clipped_surrogate
from whit.objectives.reference_kl import reference_kl


def grpo(
    *,
    group_size: Annotated[int, Field(ge=2)] = 8,
    clip: Annotated[float, Field(gt=0)] = 0.2,
    clip_high: float | None = None,
    kl: Annotated[float, Field(ge=0)] = 0.0,
    scale_by_std: bool = True,
    reduction: Reduction = "sequence",
    constant_length: Annotated[int, Field(ge=1)] = 256,
    drop_equal: bool = False,
    num_updates: Annotated[int, Field(ge=1)] = 1,
) -> Algorithm:
    """The original GRPO: sequence mean of token means, standard-deviation scaling, every group kept.

    kl: weight of the k3 penalty to the start model; 0 keeps no reference. The paper used 0.04, libraries now use 0.
    constant_length: what reduction "constant" divides each sequence's sum by: Dr. GRPO's longest completion.
    drop_equal: leave out groups whose rewards are all equal; they have no advantage, only a place in the denominator (and,
        with kl, the penalty).
    num_updates: optimizer steps on one batch of rollouts.
    """
    terms = [
        Term(
            partial(clipped_surrogate, clip=clip, clip_high=clip_high),
            reduction=reduction,
            constant_length=constant_length,
        )
    ]
    if kl:
        terms.append(Term(reference_kl, weight=kl, reduction=reduction, constant_length=constant_length))
    credit = partial(group_relative, scale_by_std=scale_by_std)
    return Algorithm(group_size, credit, tuple(terms), drop_equal, num_updates)
