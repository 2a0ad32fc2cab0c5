"""MiniLLM's returns: what a token did to the tokens after it, per token that is left."""

import pytest
import torch

from whit.algorithms._returns import returns_of, whitened


def test_rewards_from_a_token_on_over_the_tokens_that_are_left():
    student, teacher = torch.tensor([-1.0, -2.0, -1.0]), torch.tensor([-0.5, -2.5, -2.0])
    # rewards (0.5, -0.5, -1.0) / 0.5 = (1, -1, -2)
    assert returns_of(student, teacher).tolist() == pytest.approx([-2 / 3, -3 / 2, -2.0])
    assert returns_of(student, teacher, gamma=0.0).tolist() == pytest.approx([1 / 3, -1 / 2, -2.0])
    assert returns_of(student, teacher, gamma=0.5).tolist() == pytest.approx([0.0, -1.0, -2.0])


def test_a_reward_is_bounded():
    assert returns_of(torch.tensor([-500.0]), torch.tensor([0.0])).tolist() == [100.0]


def test_over_the_batch_they_have_mean_zero_and_deviation_one():
    found = torch.cat(whitened([torch.tensor([1.0, 2.0]), torch.tensor([6.0])]))
    assert found.mean().item() == pytest.approx(0.0, abs=1e-7)
    assert found.std(unbiased=False).item() == pytest.approx(1.0)
    assert torch.cat(whitened([torch.tensor([2.0]), torch.tensor([2.0])])).tolist() == [0.0, 0.0]
