"""Directions that a policy's hidden states are compared with while it is trained."""

from collections.abc import Sequence
from typing import Literal

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn

EPS = 1e-6
Norm = Literal["kept", "state"]
GUIDED = frozenset({"coordinates_TLK", "outside_TL", "push_TLD", "states_TLD"})
"""The signals that need one."""


class Guide(nn.Module):
    """L layers, K directions, states of width D; constants in float32 or more, unless the directions are learned.

    base_LKD: directions of length 1. mean_LD: what is taken from a state first. length_LK: how long a push towards each
        direction is. bases: of each layer an orthonormal basis [R, D] of what is kept of a state.
    norm: what a cosine divides by, the length of what is "kept" of a state or of the whole "state".
    is_learned: a linear classifier of the states, which begins at 0 and is trained beside the policy, stands in the place
        of directions and projection: the control.
    """

    base_LKD: Tensor
    mean_LD: Tensor
    length_LK: Tensor

    def __init__(
        self,
        base_LKD: Tensor,
        mean_LD: Tensor,
        length_LK: Tensor,
        bases: Sequence[Tensor],
        *,
        norm: Norm = "kept",
        is_learned: bool = False,
    ):
        super().__init__()
        self.register_buffer("base_LKD", base_LKD, persistent=False)
        self.register_buffer("mean_LD", mean_LD, persistent=False)
        self.register_buffer("length_LK", length_LK, persistent=False)
        self.bases, self.norm = list(bases), norm
        self.weight_LKD = nn.Parameter(torch.zeros_like(base_LKD)) if is_learned else None

    def put(self, other: "Guide") -> None:
        """Take the directions of another of the same layers."""
        self.base_LKD, self.mean_LD, self.length_LK = other.base_LKD, other.mean_LD, other.length_LK
        self.bases = other.bases

    def read(self, states_TLD: Tensor, class_T: Tensor, named: set[str]) -> dict[str, Tensor]:
        """The signals of `GUIDED` that are named. states_TLD: of the guided layers. class_T: a direction for each token.

        coordinates_TLK: cosines of what is kept of each state with each direction, 0 where nothing is; of a learned guide
            its scores. outside_TL: the share of energy that is not kept. push_TLD: what is kept of the class's
            direction, at its length.
        """
        found: dict[str, Tensor] = {}
        wide_TLD = states_TLD.to(torch.promote_types(states_TLD.dtype, torch.float32))
        if "states_TLD" in named:
            found["states_TLD"] = states_TLD
        if named & {"coordinates_TLK", "outside_TL"}:
            centred_TLD = wide_TLD - self.mean_LD
            if self.weight_LKD is not None:
                unit_TLD = F.normalize(centred_TLD, dim=-1, eps=EPS)
                found["coordinates_TLK"] = torch.einsum("tld,lkd->tlk", unit_TLD, self.weight_LKD)
            else:
                kept_TLD = torch.stack([centred_TLD[:, n] @ b.T @ b for n, b in enumerate(self.bases)], 1)
                size_TLD = kept_TLD if self.norm == "kept" else centred_TLD
                unit_TLD = kept_TLD / size_TLD.norm(dim=-1, keepdim=True).clamp(min=EPS)
                found["coordinates_TLK"] = torch.einsum("tld,lkd->tlk", unit_TLD, self.base_LKD)
                energy_TL = centred_TLD.pow(2).sum(-1).clamp(min=EPS**2)
                found["outside_TL"] = 1 - kept_TLD.pow(2).sum(-1) / energy_TL
        if "push_TLD" in named:
            kept_LKD = torch.stack([own_KD @ b.T @ b for own_KD, b in zip(self.base_LKD, self.bases, strict=True)])
            push_LKD = kept_LKD * self.length_LK[..., None]
            found["push_TLD"] = push_LKD[:, class_T].transpose(0, 1)
        return found
