"""The label read off a noisy task-space coordinate, and what the coordinate may tell.  Source: arXiv:1612.00410.

In the style of TS-FT (arXiv:2501.00999), whose equations could not be read: its information bottleneck taken literally.
"""

import math
from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor

from whit.objectives._types import PerToken


def space_bottleneck(
    coordinates_TLK: Tensor,
    class_T: Tensor,
    offset_T: Tensor,
    noise_TK: Tensor,
    *,
    temperature: Annotated[float, Field(gt=0)] = 0.1,
    sigma: Annotated[float, Field(gt=0)] = 0.1,
    kl_weight: Annotated[float, Field(ge=0)] = 1e-3,
    places: tuple[int, ...] = (),
) -> PerToken:
    """CE(z / temperature, label) + kl_weight * KL(N(c, sigma^2) || N(0, 1)), z = c + sigma * noise, c the cosines.

    In nats, the mean over layers of sums over directions, at the state that predicts the first token of the answer; 0 at
    every other token. noise_TK: standard normal, drawn anew for every document and step, the same at all layers.
    places: of the guided layers, which count; all where none is given.
    """
    chosen_TLK = coordinates_TLK[:, list(places)] if places else coordinates_TLK
    logprobs_TLK = ((chosen_TLK + sigma * noise_TK[:, None]) / temperature).log_softmax(-1)
    index_TL1 = class_T[:, None, None].expand(-1, logprobs_TLK.shape[1], 1)
    entropy_TL = -logprobs_TLK.gather(-1, index_TL1)[..., 0]
    told_TL = 0.5 * (chosen_TLK.pow(2) + sigma**2 - 1 - 2 * math.log(sigma)).sum(-1)
    return torch.where(offset_T == 0, (entropy_TL + kl_weight * told_TL).mean(-1), 0.0)
