"""Forward and reverse KL on p = (.7, .2, .1), the teacher's, and q = (.5, .25, .25), the student's."""

import pytest
import torch
from torch import Tensor
from torch.autograd import gradcheck

from whit.objectives.cross_entropy import cross_entropy
from whit.objectives.forward_kl import forward_kl
from whit.objectives.reverse_kl import reverse_kl

BOTH = pytest.mark.parametrize("kl", [forward_kl, reverse_kl])
P = torch.tensor([[0.70, 0.20, 0.10]], dtype=torch.float64).log()
Q = torch.tensor([[0.50, 0.25, 0.25]], dtype=torch.float64).log()


def draw(num_tokens: int = 5, vocab_size: int = 7, seed: int = 0) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    student_TV, teacher_TV = 2 * torch.randn(2, num_tokens, vocab_size, generator=generator, dtype=torch.float64)
    return student_TV.requires_grad_(), teacher_TV


def gradient(kl, **settings: float) -> list[float]:
    student_TV = Q.clone().requires_grad_()
    return torch.autograd.grad(kl(student_TV, P, **settings).sum(), student_TV)[0][0].tolist()


def test_values_at_temperature_one():
    assert forward_kl(Q, P).item() == pytest.approx(0.0992728, abs=1e-7)
    assert reverse_kl(Q, P).item() == pytest.approx(0.1166225, abs=1e-7)


def test_the_gradient_of_forward_kl_is_student_minus_teacher():
    assert gradient(forward_kl) == pytest.approx([-0.20, 0.05, 0.15])


def test_the_gradient_of_reverse_kl():
    assert gradient(reverse_kl) == pytest.approx([-0.2265473, 0.0266303, 0.1999171], abs=1e-7)


def test_temperature_two():
    assert forward_kl(Q, P, temperature=2.0).item() == pytest.approx(0.1238949, abs=1e-7)
    assert gradient(forward_kl, temperature=2.0) == pytest.approx([-0.2173316, 0.0268049, 0.1905268], abs=1e-7)


def test_a_high_temperature_is_half_the_squared_distance_of_centred_logits_over_the_vocabulary():
    centred = [logits - logits.mean() for logits in (Q, P)]
    limit = (centred[0] - centred[1]).square().sum().item() / (2 * 3)
    for kl in (forward_kl, reverse_kl):
        assert kl(Q, P, temperature=1e3).item() == pytest.approx(limit, rel=1e-2)


def test_forward_kl_to_a_one_hot_teacher_is_cross_entropy():
    student_TV, _ = draw()
    labels_T = torch.tensor([0, 6, 3, 3, 1])
    teacher_TV = 1e3 * torch.nn.functional.one_hot(labels_T, 7).double()
    logprobs_T = student_TV.log_softmax(-1).gather(-1, labels_T[:, None])[:, 0]
    assert torch.allclose(forward_kl(student_TV, teacher_TV), cross_entropy(logprobs_T), atol=1e-12)


def test_each_is_the_other_with_the_sides_exchanged():
    student_TV, teacher_TV = draw()
    assert torch.allclose(forward_kl(student_TV, teacher_TV), reverse_kl(teacher_TV, student_TV))


@BOTH
def test_it_is_zero_and_flat_when_the_student_equals_the_teacher(kl):
    student_TV, _ = draw()
    value_T = kl(student_TV, student_TV.detach())
    (gradient_TV,) = torch.autograd.grad(value_T.sum(), student_TV)
    assert value_T.abs().max() < 1e-15
    assert gradient_TV.abs().max() < 1e-15


@BOTH
def test_it_is_never_negative(kl):
    assert (kl(*draw(num_tokens=1000)) > 0).all()


@BOTH
def test_a_constant_added_to_all_logits_changes_nothing(kl):
    student_TV, teacher_TV = draw()
    assert torch.allclose(kl(student_TV + 3, teacher_TV - 5), kl(student_TV, teacher_TV), atol=1e-12)


@BOTH
def test_the_order_of_the_vocabulary_does_not_matter(kl):
    student_TV, teacher_TV = draw()
    order = [3, 1, 6, 0, 2, 5, 4]
    assert torch.allclose(kl(student_TV[:, order], teacher_TV[:, order]), kl(student_TV, teacher_TV))


@BOTH
@pytest.mark.parametrize("temperature", [1.0, 2.0])
def test_gradients_are_right(kl, temperature):
    student_TV, teacher_TV = draw()
    assert gradcheck(lambda logits_TV: kl(logits_TV, teacher_TV, temperature=temperature), student_TV)


@BOTH
def test_bfloat16_logits_are_compared_in_float32(kl):
    student_TV, teacher_TV = (logits.to(torch.bfloat16) for logits in draw())
    torch.testing.assert_close(kl(student_TV, teacher_TV), kl(student_TV.float(), teacher_TV.float()))


@pytest.mark.parametrize(
    ("kl", "mean", "sd", "loss"), [(forward_kl, -1.1, 4.15, 0.7120), (reverse_kl, -3.0, 0.7, 0.5108)]
)
def test_forward_kl_covers_both_modes_of_a_teacher_and_reverse_kl_takes_one(kl, mean, sd, loss):
    x = torch.linspace(-6, 6, 50, dtype=torch.float64)
    modes = [bell(x, -3.0, 0.7).softmax(-1), bell(x, 3.0, 0.7).softmax(-1)]
    teacher_V = (0.6 * modes[0] + 0.4 * modes[1]).log()
    grid = [(m / 10, s / 20) for m in range(-60, 61) for s in range(4, 121)]
    students_TV = torch.stack([bell(x, m, s) for m, s in grid])
    values_T = kl(students_TV, teacher_V.expand_as(students_TV))
    assert grid[int(values_T.argmin())] == pytest.approx((mean, sd))
    assert values_T.min().item() == pytest.approx(loss, abs=5e-5)


def bell(x: Tensor, mean: float, sd: float) -> Tensor:
    """The logits of a discretised Gaussian."""
    return -(((x - mean) / sd) ** 2) / 2
