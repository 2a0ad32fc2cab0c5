"""Advantage estimators that several algorithms share."""

from collections.abc import Sequence

import torch
from torch import Tensor

from whit.core.errors import UsageError


def group_relative(rewards: Sequence[float], *, scale_by_std: bool, eps: float = 1e-4) -> Tensor:
    """Reward minus the mean of the group, optionally over its standard deviation.

    rewards: of the G rollouts of one prompt, G >= 2.
    scale_by_std: divide by the unbiased standard deviation + eps, which weighs prompts that are almost always or almost
        never solved more.
    Returns advantages [G] that sum to 0; exact zeros when the rewards are equal.
    Raises UsageError when G < 2: a group of one has no baseline.
    """
    if len(rewards) < 2:
        raise UsageError("group_size=1, but a group of one has no baseline. Set group_size to 2 or more.")
    rewards_G = torch.tensor(rewards, dtype=torch.float64)
    if bool((rewards_G == rewards_G[0]).all()):
        return torch.zeros(len(rewards))
    advantages_G = rewards_G - rewards_G.mean()
    if scale_by_std:
        advantages_G = advantages_G / (rewards_G.std(unbiased=True) + eps)
    return advantages_G.float()
