"""Hidden states projected to the width of another model."""

import torch
from torch import Tensor, nn


class Projections(nn.Module):
    """One learned linear map a pair of layers, from the student's width to the teacher's; thrown away after training."""

    def __init__(self, count: int, width: int, teacher_width: int, like: Tensor, seed: int):
        super().__init__()
        generator = torch.Generator().manual_seed(seed % 2**63)
        weight_LED = torch.randn(count, teacher_width, width, generator=generator) * width**-0.5
        self.weight_LED = nn.Parameter(weight_LED.to(like))

    def forward(self, states_TLD: Tensor) -> Tensor:
        """[T, L, E] of [T, L, D]."""
        return torch.einsum("tld,led->tle", states_TLD, self.weight_LED)
