"""How much states tell of labels: a lower bound of their mutual information by a held-out logistic probe."""

import math
from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

MAX_STEPS, DECAY = 200, 1e-3


class Told(NamedTuple):
    """nats: the bound, H(Y) less the probe's loss on the held-out part, at least 0. accuracy: of the probe there."""

    nats: float
    accuracy: float


def information(train_NK: Tensor, train: Sequence[int], held_NK: Tensor, held: Sequence[int]) -> Told:
    """What features tell of labels: a logistic probe is fitted on the first part and judged on the second.

    H(Y) is that of the held-out labels' shares; a probe that is worse than knowing these tells nothing.
    """
    mean_K, std_K = train_NK.mean(0), train_NK.std(0).clamp(min=1e-6)
    x_NK, y_N = (train_NK - mean_K) / std_K, torch.tensor(train)
    count = max(max(train), max(held)) + 1
    weight_CK = torch.zeros(count, x_NK.shape[1], requires_grad=True)
    bias_C = torch.zeros(count, requires_grad=True)
    optimizer = torch.optim.LBFGS([weight_CK, bias_C], max_iter=MAX_STEPS, line_search_fn="strong_wolfe")

    def closure() -> Tensor:
        optimizer.zero_grad()
        loss = F.cross_entropy(F.linear(x_NK, weight_CK, bias_C), y_N) + DECAY * weight_CK.square().sum() / 2
        loss.backward()  # type: ignore[no-untyped-call]
        return loss

    with torch.enable_grad():
        optimizer.step(closure)  # type: ignore[no-untyped-call]
    with torch.no_grad():
        logits_NC, held_N = F.linear((held_NK - mean_K) / std_K, weight_CK, bias_C), torch.tensor(held)
        loss = float(F.cross_entropy(logits_NC, held_N))
        accuracy = float((logits_NC.argmax(-1) == held_N).float().mean())
    shares = [number / len(held) for number in Counter(held).values()]
    return Told(max(0.0, -sum(p * math.log(p) for p in shares) - loss), accuracy)
