"""AdamW on masters: small steps are not lost in bf16, and a checkpoint brings everything back."""

import pytest
import torch
from torch import Tensor, nn

from whit.testing.tiny import tiny_decoder
from whit.training.optim import Optim, Optimizer

CONSTANT = Optim(schedule="constant", warmup=0.0)


def one_weight(value: float, dtype: torch.dtype = torch.bfloat16) -> nn.Linear:
    layer = nn.Linear(1, 1, bias=False, dtype=dtype)
    nn.init.constant_(layer.weight, value)
    return layer


def push(model: nn.Module, optimizer: Optimizer, seed: int = 0) -> tuple[float, float]:
    """One step against random gradients."""
    generator = torch.Generator().manual_seed(seed)
    for parameter in model.parameters():
        parameter.grad = torch.randn(parameter.shape, generator=generator).to(parameter.dtype)
    optimizer.collect()
    return optimizer.step(0.5)


def test_the_first_step_of_adam_is_the_learning_rate():
    layer = one_weight(1.0, torch.float64)
    optimizer = Optimizer(layer, CONSTANT, 1e-2)
    optimizer.add_gradient(layer.weight, torch.tensor([[0.3]]))
    assert optimizer.step(0.5) == (pytest.approx(0.3), 1e-2)
    assert layer.weight.item() == pytest.approx(1.0 - 1e-2, abs=1e-8)


def test_a_bfloat16_weight_of_a_hundredth_moves_at_a_rate_of_a_millionth():
    # Neighbours of 0.01 in bf16 are 3e-5 or more apart: a step of 1e-6 alone is rounded away.
    layer = one_weight(0.01)
    start = layer.weight.item()
    optimizer = Optimizer(layer, CONSTANT, 1e-6)
    for step in range(60):
        optimizer.add_gradient(layer.weight, torch.ones(1, 1))
        optimizer.step(0.5)
        if step == 0:
            assert optimizer.masters[0].item() == pytest.approx(start - 1e-6, abs=1e-8)
            assert layer.weight.item() == start
    assert layer.weight.item() == pytest.approx(start - 60e-6, abs=3e-5)
    assert layer.weight.item() < start


def test_without_masters_the_same_steps_would_be_lost():
    layer = one_weight(0.01)
    start = layer.weight.item()
    plain = torch.optim.AdamW(layer.parameters(), lr=1e-6, weight_decay=0.0)
    for _ in range(60):
        layer.weight.grad = torch.ones(1, 1, dtype=torch.bfloat16)
        plain.step()
    assert layer.weight.item() == start


def test_gradients_of_a_bfloat16_model_are_added_in_float32():
    layer = one_weight(1.0)
    optimizer = Optimizer(layer, CONSTANT, 1e-3)
    for _ in range(300):  # bf16 cannot count beyond 256
        layer.weight.grad = torch.ones(1, 1, dtype=torch.bfloat16)
        optimizer.collect()
    assert optimizer.masters[0].grad.item() == 300.0


def test_the_gradient_is_clipped_to_its_norm_and_the_norm_before_is_told():
    layer = nn.Linear(2, 1, bias=False)
    optimizer = Optimizer(layer, Optim(clip_norm=1.0), 1e-3)
    optimizer.add_gradient(layer.weight, torch.tensor([[3.0, 4.0]]))
    norm, _ = optimizer.step(0.5)
    assert norm == pytest.approx(5.0)
    moments = optimizer.adamw.state[layer.weight]["exp_avg"] / (1 - 0.9)
    assert moments[0].tolist() == pytest.approx([0.6, 0.8], rel=1e-5)


@pytest.mark.parametrize("bad", [torch.nan, torch.inf])
def test_a_gradient_that_is_not_finite_leaves_the_weights_alone(bad):
    layer = one_weight(1.0, torch.float32)
    optimizer = Optimizer(layer, CONSTANT, 1e-2)
    optimizer.add_gradient(layer.weight, torch.full((1, 1), bad))
    optimizer.step(0.5)
    assert layer.weight.item() == 1.0
    optimizer.add_gradient(layer.weight, torch.ones(1, 1))
    optimizer.step(0.5)
    assert layer.weight.item() == pytest.approx(0.99, abs=1e-6)


def test_weight_decay_spares_biases_and_norms():
    layer = nn.Linear(1, 1)
    nn.init.ones_(layer.weight)
    nn.init.ones_(layer.bias)
    optimizer = Optimizer(layer, Optim(schedule="constant", warmup=0.0, weight_decay=0.5), 0.1)
    optimizer.add_gradient(layer.weight, torch.zeros(1, 1))
    optimizer.add_gradient(layer.bias, torch.zeros(1))
    optimizer.step(0.5)
    assert (layer.weight.item(), layer.bias.item()) == (pytest.approx(1 - 0.1 * 0.5), 1.0)


def test_a_frozen_parameter_is_not_stepped():
    layer = nn.Linear(1, 1)
    layer.weight.requires_grad_(False)
    optimizer = Optimizer(layer, CONSTANT, 0.1)
    optimizer.add_gradient(layer.weight, torch.ones(1, 1))
    assert optimizer.names == ["bias"]
    assert optimizer.step(0.5)[0] == 0.0


def test_a_tied_head_is_one_parameter():
    names = Optimizer(tiny_decoder(), CONSTANT, 0.1).names
    assert "model.embed_tokens.weight" in names
    assert "lm_head.weight" not in names


def tensors_of(model: nn.Module) -> list[Tensor]:
    return [parameter.detach().clone() for parameter in model.parameters()]


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
def test_what_is_restored_goes_on_to_the_bit(dtype):
    model, other = tiny_decoder(seed=1, dtype=dtype), tiny_decoder(seed=2, dtype=dtype)
    first, second = Optimizer(model, CONSTANT, 1e-2), Optimizer(other, CONSTANT, 1e-2)
    for seed in range(3):
        push(model, first, seed)
    second.restore({name: tensor.clone() for name, tensor in first.state().items()})
    for each, optimizer in ((model, first), (other, second)):
        push(each, optimizer, seed=9)
    for ours, expected in zip([*tensors_of(other), *second.masters], [*tensors_of(model), *first.masters], strict=True):
        assert torch.equal(ours, expected)


def test_a_token_that_comes_often_is_added_up_in_float32():
    model = nn.Sequential(nn.Embedding(3, 2)).bfloat16()
    optimizer = Optimizer(model, CONSTANT, 1e-3)
    model(torch.tensor([1] * 1000 + [2])).sum().backward()  # bf16 cannot count beyond 256
    optimizer.collect()
    assert optimizer.masters[0].grad.tolist() == [[0, 0], [1000, 1000], [1, 1]]
