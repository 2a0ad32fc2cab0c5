"""GRPO with a length asked for in the prompt and paid for in the reward.  Source: TLDR, arXiv:2505.07961, in our own form.

The paper's equations and settings were not available: the sentences, the prices (the shaping `length_levels`), the equal
shares of the levels and the missing division by the deviation are inferred.
"""

from collections.abc import Mapping
from functools import partial
from typing import Annotated

from pydantic import Field

from whit.algorithms._advantages import group_relative
from whit.algorithms._types import Algorithm
from whit.core.errors import RecipeError
from whit.objectives._types import Reduction, Term
from whit.objectives.clipped_surrogate import clipped_surrogate
from whit.shaping.length_levels import PRICES, length_levels

SENTENCES = {
    "short": "Keep your reasoning short.",
    "moderate": "Keep your reasoning to a moderate length.",
    "long": "Reason at length.",
}


def tldr(
    *,
    group_size: Annotated[int, Field(ge=2)] = 8,
    prices: Mapping[str, float] = PRICES,
    sentences: Mapping[str, str] = SENTENCES,
    clip: Annotated[float, Field(gt=0)] = 0.2,
    reduction: Reduction = "token",
    drop_equal: bool = True,
    num_updates: Annotated[int, Field(ge=1)] = 1,
) -> Algorithm:
    """Every prompt is given one level, which its completions share; a right answer pays price x length / limit.

    A completion that is cut off earns nothing, though it may have said the answer.

    The deviation of a group is not divided by: it would make small differences of length as large as being right.
    """
    if prices.keys() != sentences.keys() or not all(0 <= price < 1 for price in prices.values()):
        raise RecipeError(
            f"algorithm tldr: prices are {dict(prices)} and sentences are for {', '.join(sentences)}. Each "
            "level needs both, and a price of at least 0 and below 1: at 1 a right answer earns no more than a wrong one."
        )
    terms = (Term(partial(clipped_surrogate, clip=clip), reduction=reduction),)
    return Algorithm(
        group_size, partial(group_relative, scale="none"), terms,
        drop_equal=drop_equal, num_updates=num_updates, shape=partial(length_levels, prices=prices), levels=sentences,
        needs_end=True,
    )  # fmt: skip
