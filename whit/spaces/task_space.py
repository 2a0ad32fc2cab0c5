"""A direction a label in a model's states, at every layer: built from pairs of states, kept as an artifact, read off.

In the style of arXiv:2501.00999, whose equations could not be read: our specification, after the closest published recipes,
arXiv:2310.01405 (contrast pairs, principal component) and arXiv:2311.06668.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
import torch.nn.functional as F  # noqa: N812
from safetensors.torch import load_file, save_file
from torch import Tensor

from whit.core.errors import DataError
from whit.core.files import read_record

Method = Literal["pca", "mean", "mean_plus_pc"]
LEAST_EXPLAINED = 0.1  # of the differences' energy by their first component; with less of it their mean is taken
ENERGY = 0.95  # of the base vectors, that denoising keeps
EPS = 1e-6


@dataclass(frozen=True)
class TaskSpace:
    """S layers, K labels, states of width D; all in float32.

    layers: after which the states are taken. base_SKD: a vector of length 1 for each label.
    mean_SD: the mean state over neutral prompts. length_SK: the mean length of the differences that made each vector.
    bases: of each layer an orthonormal basis [R, D] of what denoising keeps of the span of its vectors.
    """

    labels: tuple[str, ...]
    layers: tuple[int, ...]
    base_SKD: Tensor
    mean_SD: Tensor
    length_SK: Tensor
    bases: tuple[Tensor, ...]

    @classmethod
    def of(
        cls, labels: Sequence[str], layers: Sequence[int], differences_KMSD: Tensor, mean_SD: Tensor,
        method: Method = "pca", energy: float = ENERGY,
    ) -> "TaskSpace":  # fmt: skip
        """The space of differences between states for and against a label, one for each label and context."""
        by_layer = differences_KMSD.float().permute(2, 0, 1, 3)
        base_SKD = torch.stack([torch.stack([direction(d_MD, method) for d_MD in layer]) for layer in by_layer])
        bases = tuple(denoised(base_KD, energy) for base_KD in base_SKD)
        length_SK = by_layer.norm(dim=-1).mean(-1)
        return cls(tuple(labels), tuple(layers), base_SKD, mean_SD.float(), length_SK, bases)

    def coordinates(self, states_NSD: Tensor) -> Tensor:
        """[N, S, K]: the cosine of each state, less the mean and without what denoising takes away, with each vector."""
        centred_NSD = states_NSD.float() - self.mean_SD
        found = []
        for s, basis_RD in enumerate(self.bases):
            kept_ND = centred_NSD[:, s] @ basis_RD.T @ basis_RD
            found.append(kept_ND @ self.base_SKD[s].T / (centred_NSD[:, s].norm(dim=-1, keepdim=True) + EPS))
        return torch.stack(found, 1)

    def kept(self, states_NSD: Tensor) -> Tensor:
        """[N, S]: the share of each state's squared length, less the mean, that denoising keeps."""
        centred_NSD = states_NSD.float() - self.mean_SD
        parts = [(centred_NSD[:, s] @ basis_RD.T).square().sum(-1) for s, basis_RD in enumerate(self.bases)]
        return torch.stack(parts, 1) / centred_NSD.square().sum(-1).clamp(min=EPS)

    def vectors(self, coordinates_NSK: Tensor) -> Tensor:
        """[N, S, D]: the directions of length 1 that coordinates stand for, denoised; 0 where they are all 0."""
        mixed_NSD: Tensor = torch.einsum("nsk,skd->nsd", coordinates_NSK, self.base_SKD)
        kept_NSD = torch.stack([mixed_NSD[:, s] @ basis_RD.T @ basis_RD for s, basis_RD in enumerate(self.bases)], 1)
        return F.normalize(kept_NSD, dim=-1, eps=EPS)

    def at(self, layers: Sequence[int]) -> "TaskSpace":
        """The space of some of its layers, in this order."""
        rows = [self.layers.index(layer) for layer in layers]
        bases = tuple(self.bases[row] for row in rows)
        return TaskSpace(
            self.labels, tuple(layers), self.base_SKD[rows], self.mean_SD[rows], self.length_SK[rows], bases
        )

    def random(self, seed: int) -> "TaskSpace":
        """The control: the space turned at random, at all layers alike.

        Lengths, angles between labels, and what layers have in common stay as they are; what directions point to is lost.
        """
        turn_DD = random_turn(self.base_SKD.shape[-1], seed)
        bases = tuple(basis_RD @ turn_DD for basis_RD in self.bases)
        return TaskSpace(self.labels, self.layers, self.base_SKD @ turn_DD, self.mean_SD, self.length_SK, bases)

    def save(self, directory: Path, **facts: Any) -> None:
        """`space.json` and `space.safetensors`. facts: how it was made, for who reads it, such as the model's digest."""
        directory.mkdir(parents=True, exist_ok=True)
        tensors = {"base_SKD": self.base_SKD, "mean_SD": self.mean_SD, "length_SK": self.length_SK}
        tensors |= {f"basis_{index}": basis for index, basis in enumerate(self.bases)}
        save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, directory / "space.safetensors")
        (directory / "space.json").write_text(json.dumps({"labels": self.labels, "layers": self.layers, **facts}))

    @classmethod
    def load(cls, directory: Path) -> "TaskSpace":
        """Raises DataError where there is none."""
        if not (directory / "space.json").exists():
            raise DataError(f"{directory} holds no task space (space.json). `whit space MODEL DIR --task T` makes one.")
        facts, tensors = read_record(directory / "space.json"), load_file(directory / "space.safetensors")
        bases = tuple(tensors[f"basis_{index}"] for index in range(len(facts["layers"])))
        return cls(
            tuple(facts["labels"]),
            tuple(facts["layers"]),
            tensors["base_SKD"],
            tensors["mean_SD"],
            tensors["length_SK"],
            bases,
        )


def direction(differences_MD: Tensor, method: Method = "pca") -> Tensor:
    """The vector of length 1 that the differences of M pairs share, on the side that they are on.

    pca: the first right singular vector, not centred: centring would take away what is looked for. Where it explains less
    than LEAST_EXPLAINED of the energy, the mean. mean_plus_pc: their sum, as the code of arXiv:2311.06668.
    """
    mean_D: Tensor = differences_MD.mean(0)
    if method != "mean":
        _, sizes_R, right_RD = torch.linalg.svd(differences_MD, full_matrices=False)
        first_D = right_RD[0] * torch.sign((differences_MD @ right_RD[0]).mean())
        explained = sizes_R[0] ** 2 / (sizes_R**2).sum().clamp(min=EPS)
        if method == "mean_plus_pc":
            mean_D = mean_D + first_D
        elif explained >= LEAST_EXPLAINED:
            mean_D = first_D
    return F.normalize(mean_D, dim=-1, eps=EPS)


def random_turn(width: int, seed: int) -> Tensor:
    """[D, D]: an orthogonal matrix, drawn at random."""
    generator = torch.Generator().manual_seed(seed)
    turn_DD: Tensor = torch.linalg.qr(torch.randn(width, width, generator=generator))[0]
    return turn_DD


def denoised(base_KD: Tensor, energy: float = ENERGY) -> Tensor:
    """An orthonormal basis [R, D] of the directions that hold this share of the energy of K vectors."""
    sizes_K: Tensor
    right_KD: Tensor
    _, sizes_K, right_KD = torch.linalg.svd(base_KD, full_matrices=False)
    share_K = (sizes_K**2).cumsum(0) / (sizes_K**2).sum().clamp(min=EPS)
    count = int((share_K < energy - EPS).sum()) + 1
    count = min(count, int((sizes_K > EPS * sizes_K[0]).sum()) or 1)
    return right_KD[:count].contiguous()
