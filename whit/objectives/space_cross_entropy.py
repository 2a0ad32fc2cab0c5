"""A label read off a hidden state by the directions of a task space.  Source: arXiv:2501.00999.

In the style of TS-FT: the paper's equations could not be read, and this form is our specification.
"""

from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor

from whit.objectives._types import PerToken


def space_cross_entropy(
    coordinates_TLK: Tensor,
    class_T: Tensor,
    offset_T: Tensor,
    *,
    temperature: Annotated[float, Field(gt=0)] = 0.1,
    places: tuple[int, ...] = (),
) -> PerToken:
    """Cross-entropy, in nats, of the text's label under softmax(cosines / temperature), mean over layers.

    Taken at the state that predicts the first token of the answer; 0 at every other token.
    places: of the guided layers, which count; all where none is given.
    """
    chosen_TLK = coordinates_TLK[:, list(places)] if places else coordinates_TLK
    logprobs_TLK = (chosen_TLK / temperature).log_softmax(-1)
    index_TL1 = class_T[:, None, None].expand(-1, logprobs_TLK.shape[1], 1)
    each_TL = -logprobs_TLK.gather(-1, index_TL1)[..., 0]
    return torch.where(offset_T == 0, each_TL.mean(-1), 0.0)
