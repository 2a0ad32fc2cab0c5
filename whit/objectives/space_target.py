"""Hidden states drawn to those of the model before training, moved towards the label.  Source: arXiv:2310.01405.

In the style of TS-FT (arXiv:2501.00999), whose equations could not be read, after the representation tuning of the source.
"""

import torch
from torch import Tensor

from whit.objectives._types import PerToken


def space_target(
    states_TLD: Tensor,
    teacher_hidden_TLE: Tensor,
    push_TLD: Tensor,
    *,
    alpha: float = 2.0,
    places: tuple[int, ...] = (),
) -> PerToken:
    """|h - (h0 + alpha * push)|, the length over the width, mean over layers, at every supervised token.

    teacher_hidden_TLE: h0, of the model before training. push_TLD: the label's direction, as long as the differences that
    made it are on average. alpha: how far; the source has 5 with differences of single tokens.
    places: of the guided layers, which count; all where none is given.
    """
    precise = torch.promote_types(states_TLD.dtype, torch.float32)
    target_TLD = teacher_hidden_TLE.to(precise) + alpha * push_TLD.to(precise)
    # The gradient of a length at 0 is none: a state that is at its target is left there.
    squared_TL = (states_TLD.to(precise) - target_TLD).pow(2).sum(-1)
    length_TL = torch.where(squared_TL > 0, squared_TL, 1.0).sqrt() * (squared_TL > 0)
    return (length_TL[:, list(places)] if places else length_TL).mean(-1)
