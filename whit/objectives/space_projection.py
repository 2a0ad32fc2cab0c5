"""The share of a hidden state's energy that lies outside of a task space.  Source: arXiv:2501.00999.

In the style of TS-FT: the paper's equations could not be read, and this form is our specification. It needs no labels.
"""

import torch
from torch import Tensor

from whit.objectives._types import PerToken


def space_projection(outside_TL: Tensor, offset_T: Tensor, *, places: tuple[int, ...] = ()) -> PerToken:
    """1 - |P(h - mu)|^2 / |h - mu|^2, mean over layers: 0 for a state inside the space, 1 for one orthogonal to it.

    Taken at the state that predicts the first token of the answer; 0 at every other token.
    places: of the guided layers, which count; all where none is given.
    """
    chosen_TL = outside_TL[:, list(places)] if places else outside_TL
    return torch.where(offset_T == 0, chosen_TL.mean(-1), 0.0)
