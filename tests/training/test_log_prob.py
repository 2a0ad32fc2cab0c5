"""Log-probability and entropy in one pass: the gradient that is written out equals autograd's of the plain formula."""

import pytest
import torch
from torch import Tensor

from whit.training.signals import log_prob


def plain(logits_TV: Tensor, labels_T: Tensor, temperature: float) -> tuple[Tensor, Tensor]:
    logp_TV = torch.log_softmax(logits_TV / temperature, -1)
    return logp_TV.gather(-1, labels_T[:, None])[:, 0], -(logp_TV.exp() * logp_TV).sum(-1)


def draw(dtype: torch.dtype = torch.float64) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    logits_TV = 2 * torch.randn(6, 9, generator=generator, dtype=torch.float64)
    grads = torch.randn(2, 6, generator=generator, dtype=torch.float64)
    return logits_TV.to(dtype).requires_grad_(), torch.tensor([0, 8, 3, 3, 1, 5]), *grads


def test_two_tokens_of_three_to_one():
    logp_T, entropy_T = log_prob(torch.tensor([[0.0, 3.0]]).log1p(), torch.tensor([1]))
    assert logp_T.item() == pytest.approx(-0.2231436)  # ln 0.8: the odds are 1 to 4
    assert entropy_T.item() == pytest.approx(0.5004024)


@pytest.mark.parametrize("temperature", [1.0, 0.6, 2.0])
def test_values_and_gradients_equal_the_plain_formula(temperature):
    logits_TV, labels_T, grad_lp_T, grad_entropy_T = draw()
    grads = {}
    for function in (log_prob, plain):
        lp_T, entropy_T = function(logits_TV, labels_T, temperature)
        total = (grad_lp_T * lp_T + grad_entropy_T * entropy_T).sum()
        grads[function] = (lp_T, entropy_T, *torch.autograd.grad(total, logits_TV))
    for ours, expected in zip(grads[log_prob], grads[plain], strict=True):
        assert (ours - expected).abs().max() < 1e-13


@pytest.mark.parametrize("part", [0, 1])
def test_the_gradient_of_each_alone(part):
    logits_TV, labels_T, grad_T, _ = draw()
    (ours,) = torch.autograd.grad(log_prob(logits_TV, labels_T, 0.7)[part], logits_TV, grad_T)
    (expected,) = torch.autograd.grad(plain(logits_TV, labels_T, 0.7)[part], logits_TV, grad_T)
    assert (ours - expected).abs().max() < 1e-13


def test_bfloat16_logits_are_scored_in_float32():
    logits_TV, labels_T, *_ = draw(torch.bfloat16)
    lp_T, entropy_T = log_prob(logits_TV, labels_T)
    expected_T, _ = plain(logits_TV.float(), labels_T, 1.0)
    assert lp_T.dtype == entropy_T.dtype == torch.float32
    assert torch.equal(lp_T, expected_T)
