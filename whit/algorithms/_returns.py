"""Returns of tokens whose reward is how much likelier the teacher holds them.  Source: MiniLLM, arXiv:2306.08543."""

import torch
from torch import Tensor

MAX_REWARD = 100.0
REWARD_SCALE = 0.5  # by which the code divides the rewards


def returns_of(student_lps_T: Tensor, teacher_lps_T: Tensor, *, gamma: float = 1.0) -> Tensor:
    """Of one completion: for each token the discounted rewards from it on, divided by the tokens that are left.

    student_lps_T, teacher_lps_T: log-probabilities of the tokens, nats. A token's reward is their difference, over 0.5 and
    within +-100.
    """
    rewards = ((teacher_lps_T - student_lps_T) / REWARD_SCALE).clamp(-MAX_REWARD, MAX_REWARD).tolist()
    found, following = [], 0.0
    for place in reversed(range(len(rewards))):
        following = rewards[place] + gamma * following
        found.append(following / (len(rewards) - place))
    return torch.tensor(found[::-1])


def whitened(returns: list[Tensor]) -> list[Tensor]:
    """All of them with mean 0 and standard deviation 1 over the tokens of the batch; zeros when all are equal."""
    together = torch.cat(returns)
    spread = together.std(unbiased=False)
    return [(each - together.mean()) / spread if spread > 1e-8 else torch.zeros_like(each) for each in returns]
