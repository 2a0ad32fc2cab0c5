"""Log-probability and entropy in one pass: the gradient that is written out equals autograd's of the plain formula."""

import os
import subprocess
import sys

import pytest
import torch
from torch import Tensor

from whit.kernels import build
from whit.kernels.log_prob import _Defined, _largest_difference, _on_gpu, log_prob


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
    assert torch.allclose(lp_T, expected_T, rtol=1e-6)


@pytest.mark.skipif(build.library() is None, reason=f"not compiled: {build.why_not()}")
@pytest.mark.parametrize("size", [1, 7, 33, 5000])
@pytest.mark.parametrize("temperature", [1.0, 0.6])
def test_the_compiled_form_is_the_definition(size, temperature, monkeypatch):
    generator = torch.Generator().manual_seed(size)
    logits_TV = (6 * torch.randn(9, size, generator=generator)).bfloat16().requires_grad_()
    labels_T = torch.randint(0, size, (9,), generator=generator)
    grad_lp_T, grad_entropy_T = torch.randn(2, 9, generator=generator)
    found = {}
    for form in ("compiled", "defined"):
        if form == "defined":
            monkeypatch.setattr("whit.kernels.log_prob.runs", lambda *_: False)
        lp_T, entropy_T = log_prob(logits_TV, labels_T, temperature)
        total = (grad_lp_T * lp_T + grad_entropy_T * entropy_T).sum()
        found[form] = lp_T.detach(), entropy_T.detach(), *torch.autograd.grad(total, logits_TV)
    (lp_T, entropy_T, grad_TV), expected = found["compiled"], found["defined"]
    assert torch.allclose(lp_T, expected[0], rtol=1e-5, atol=1e-5)
    assert torch.allclose(entropy_T, expected[1], rtol=1e-5, atol=1e-5)
    assert torch.allclose(grad_TV.float(), expected[2].float(), rtol=0.01, atol=1e-5)


@pytest.mark.skipif(build.library() is None, reason=f"not compiled: {build.why_not()}")
def test_words_that_cannot_be_said_have_no_part_and_a_logit_that_is_no_number_is_seen():
    logits_TV = torch.tensor([[0.0, float("-inf"), 0.0], [0.0, float("nan"), 0.0]]).bfloat16().requires_grad_()
    lp_T, entropy_T = log_prob(logits_TV, torch.tensor([0, 0]))
    assert lp_T[0].item() == pytest.approx(-0.693147) and entropy_T[0].item() == pytest.approx(0.693147)
    assert lp_T[1].isnan() and entropy_T[1].isnan()
    (grad_TV,) = torch.autograd.grad(lp_T[0], logits_TV)
    assert grad_TV[0].tolist() == pytest.approx([0.5, 0.0, -0.5], abs=1e-30)


IN_TRITON = """
import torch
from whit.kernels.log_prob import _Defined, _largest_difference
from whit.kernels.log_prob_cuda import InTriton
print(_largest_difference(InTriton, torch.device("cpu")))
for size in (1, 7, 4096, 9001):
    for dtype, rounding in ((torch.float32, 1e-5), (torch.bfloat16, 2e-2)):
        logits, labels = (4 * torch.randn(4, size)).to(dtype), torch.randint(0, size, (4,))
        grads = []
        for form in (InTriton, _Defined):
            own = logits.clone().requires_grad_()
            lp, entropy = form.apply(own, labels, 1.3)
            (lp.sum() - 2 * entropy[1:].sum()).backward()
            grads.append((lp.detach(), entropy.detach(), own.grad.float()))
        for ours, defined in zip(*grads):
            assert torch.allclose(ours, defined, rtol=rounding, atol=rounding), (size, dtype)
assert InTriton.apply(torch.zeros(0, 5), torch.zeros(0, dtype=torch.long), 1.0)[0].shape == (0,)
"""


def test_the_form_in_triton_is_the_definition():
    pytest.importorskip("triton", reason="triton is not installed: it comes with PyTorch for GPUs")
    environment = {**os.environ, "TRITON_INTERPRET": "1"}  # Triton reads it when it is imported
    done = subprocess.run(
        [sys.executable, "-c", IN_TRITON], env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert float(done.stdout) < 1e-4


def test_a_form_that_differs_is_found():
    class Wrong(_Defined):
        @staticmethod
        def backward(ctx, grad_lp_T, grad_entropy_T):
            return _Defined.backward(ctx, 1.01 * grad_lp_T, grad_entropy_T)

    cpu = torch.device("cpu")
    assert _largest_difference(Wrong, cpu) > 1e-4
    assert _largest_difference(_Defined, cpu) == 0


@torch.no_grad()
def test_forms_are_compared_where_gradients_are_off():
    assert _largest_difference(_Defined, torch.device("cpu")) == 0


def test_a_gpu_without_triton_computes_the_definition(monkeypatch):
    monkeypatch.setitem(sys.modules, "whit.kernels.log_prob_cuda", None)  # as where it cannot be imported
    with pytest.warns(UserWarning, match="by PyTorch, not by Triton"):
        assert _on_gpu.__wrapped__() is _Defined
