"""How much states tell of labels: a lower bound of their mutual information by a held-out logistic probe."""

import math
from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

from whit.core.seeds import stream
from whit.spaces.task_space import TaskSpace

MAX_STEPS = 100
RANK_TOLERANCE = 1e-5  # of a component beside the first: less of it is rounding
DECAYS = (1e-3, 1e-2, 1e-1, 1.0)  # of a probe's weights: few texts a label want a stronger one


class Told(NamedTuple):
    """nats: the bound, H(Y) less the probe's loss on the held-out part, at least 0. accuracy: of the probe there."""

    nats: float
    accuracy: float


def information(train_NK: Tensor, train: Sequence[int], held_NK: Tensor, held: Sequence[int]) -> Told:
    """What features tell of labels: a logistic probe is fitted on the first part and judged on the second.

    How strongly its weights are held back is chosen inside of the first part, on every other of its texts.
    H(Y) is that of the held-out labels' shares; a probe that is worse than knowing these tells nothing.
    """
    count = max(max(train), max(held)) + 1
    own, other = (train_NK[::2], list(train[::2])), (train_NK[1::2], list(train[1::2]))
    losses = {decay: _judged(*own, *other, count, decay)[0] for decay in DECAYS} if len(train) > 1 else {DECAYS[0]: 0.0}
    loss, accuracy = _judged(train_NK, train, held_NK, held, count, min(losses, key=lambda decay: losses[decay]))
    shares = [number / len(held) for number in Counter(held).values()]
    return Told(max(0.0, -sum(p * math.log(p) for p in shares) - loss), accuracy)


def _judged(
    train_NK: Tensor, train: Sequence[int], held_NK: Tensor, held: Sequence[int], count: int, decay: float
) -> tuple[float, float]:
    """The cross-entropy in nats and the accuracy, on the second part, of a probe fitted on the first."""
    mean_K, std_K = train_NK.mean(0), train_NK.std(0, correction=0).clamp(min=1e-6)
    x_NK, y_N = (train_NK - mean_K) / std_K, torch.tensor(train)
    weight_CK = torch.zeros(count, x_NK.shape[1], requires_grad=True)
    bias_C = torch.zeros(count, requires_grad=True)
    optimizer = torch.optim.LBFGS([weight_CK, bias_C], max_iter=MAX_STEPS, line_search_fn="strong_wolfe")

    def closure() -> Tensor:
        optimizer.zero_grad()
        loss = F.cross_entropy(F.linear(x_NK, weight_CK, bias_C), y_N) + decay * weight_CK.square().sum() / 2
        loss.backward()  # type: ignore[no-untyped-call]
        return loss

    with torch.enable_grad():
        optimizer.step(closure)  # type: ignore[no-untyped-call]
    with torch.no_grad():
        logits_NC, held_N = F.linear((held_NK - mean_K) / std_K, weight_CK, bias_C), torch.tensor(held)
        accuracy = float((logits_NC.argmax(-1) == held_N).float().mean())
        return float(F.cross_entropy(logits_NC, held_N)), accuracy


def profile_of(space: TaskSpace, states_NSD: Tensor, labels: Sequence[int], seed: int) -> list[Told]:
    """What the coordinates of states tell of their labels at each layer: fitted on a random half, judged on the other."""
    order = list(range(len(labels)))
    stream(seed, "probe").shuffle(order)
    fit, held = order[: len(order) // 2], order[len(order) // 2 :]
    coordinates_NSK = space.coordinates(states_NSD)
    own, other = [labels[i] for i in fit], [labels[i] for i in held]
    return [
        information(coordinates_NSK[fit, s], own, coordinates_NSK[held, s], other) for s in range(len(space.layers))
    ]


def plane(points_ND: Tensor) -> Tensor:
    """[N, 2]: points on their first two principal components."""
    centred_ND = points_ND - points_ND.mean(0)
    _, sizes_R, axes_RD = torch.linalg.svd(centred_ND, full_matrices=False)
    flat_N2: Tensor = centred_ND @ axes_RD[:2].T
    return torch.where(sizes_R[:2] > RANK_TOLERANCE * sizes_R[0], flat_N2, torch.zeros_like(flat_N2))
