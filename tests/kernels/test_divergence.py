"""The compiled divergences against their definitions: values and gradients in float64, and when they step aside."""

from functools import partial

import pytest
import torch
from torch import Tensor

from whit.core import parts
from whit.kernels.build import library, why_not
from whit.kernels.divergence import KINDS

pytestmark = pytest.mark.skipif(library() is None, reason=f"no compiled operators: {why_not()}")
SETTINGS = [
    *((name, {}) for name in KINDS if name != "taid"),
    ("forward_kl", {"temperature": 2.0}), ("reverse_kl", {"temperature": 0.5}), ("total_variation", {"temperature": 2.0}),
    ("symmetric_kl", {"alpha": 0.3, "temperature": 3.0}), ("generalised_jsd", {"beta": 0.0}),
    ("generalised_jsd", {"beta": 1.0}), ("generalised_jsd", {"beta": 0.9, "temperature": 2.0}), ("skew_kl", {"alpha": 0.0}),
    ("skew_kl", {"alpha": 0.7}), ("skew_reverse_kl", {"alpha": 0.0}), ("skew_reverse_kl", {"detach_mixture": True}),
    *(("taid", {"interpolation": t}) for t in (0.0, 0.4, 1.0)),
]  # fmt: skip


def draw(rows: int = 5, vocab: int = 1003, scale: float = 3.0) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    student_TV, teacher_TV = scale * torch.randn(2, rows, vocab, generator=generator)
    return student_TV.bfloat16(), teacher_TV.bfloat16()


def results(loss, student_TV: Tensor, teacher_TV: Tensor) -> tuple[Tensor, Tensor]:
    """Values, and the gradient of a weighted sum of them."""
    student_TV = student_TV.clone().requires_grad_()
    value_T = loss(student_TV, teacher_TV)
    weights_T = torch.linspace(-1.0, 2.0, len(value_T), dtype=value_T.dtype)
    (grad_TV,) = torch.autograd.grad((weights_T * value_T).sum(), student_TV)
    return value_T.detach().double(), grad_TV.double()


@pytest.mark.parametrize(("name", "settings"), SETTINGS)
@pytest.mark.parametrize("scale", [0.0, 1.0, 20.0])
def test_it_gives_what_the_definition_gives_in_float64(name, settings, scale):
    compiled = parts.find("objective", name)
    student_TV, teacher_TV = draw(scale=scale)
    found = results(partial(compiled, **settings), student_TV, teacher_TV)
    expected = results(partial(compiled.__wrapped__, **settings), student_TV.double(), teacher_TV.double())
    torch.testing.assert_close(found[0], expected[0], rtol=2e-5, atol=2e-5)
    torch.testing.assert_close(found[1], expected[1], rtol=1e-2, atol=1e-2 * float(expected[1].abs().max()) + 2e-5)


@pytest.mark.parametrize("name", KINDS)
def test_slices_of_a_wider_vocabulary_are_read_where_they_stand(name):
    loss = parts.find("objective", name)
    loss = partial(loss, interpolation=0.3) if name == "taid" else loss
    student_TV, teacher_TV = draw()
    whole = results(loss, student_TV, teacher_TV)
    wide = torch.cat([teacher_TV, 50 + teacher_TV[:, :100]], 1)
    padded = torch.cat([student_TV, 50 + student_TV[:, :7]], 1)
    sliced = results(lambda s, t: loss(s[:, :1003], t[:, :1003]), padded, wide)
    torch.testing.assert_close(sliced[0], whole[0])
    torch.testing.assert_close(sliced[1][:, :1003], whole[1])
    assert not sliced[1][:, 1003:].any()


@pytest.mark.parametrize("name", KINDS)
def test_a_token_that_both_rule_out_changes_nothing(name):
    loss = parts.find("objective", name)
    loss = partial(loss, interpolation=0.3) if name == "taid" else loss
    student_TV, teacher_TV = draw()
    banned = torch.full((5, 3), -torch.inf).bfloat16()
    whole = results(loss, student_TV, teacher_TV)
    with_banned = results(loss, torch.cat([student_TV, banned], 1), torch.cat([teacher_TV, banned], 1))
    torch.testing.assert_close(with_banned[0], whole[0], rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(with_banned[1][:, :-3], whole[1], rtol=1e-2, atol=1e-4)
    assert with_banned[1].isfinite().all()


def test_the_number_of_threads_changes_no_bit():
    student_TV, teacher_TV = draw(rows=9)
    loss = parts.find("objective", "generalised_jsd")
    before = torch.get_num_threads()
    try:
        found = []
        for threads in (1, 3):
            torch.set_num_threads(threads)
            found.append(results(loss, student_TV, teacher_TV))
    finally:
        torch.set_num_threads(before)
    assert torch.equal(found[0][0], found[1][0])
    assert torch.equal(found[0][1], found[1][1])


def test_a_teacher_that_is_trained_is_given_its_gradient_by_the_definition():
    student_TV, teacher_TV = draw()
    teacher_TV.requires_grad_()
    (grad_TV,) = torch.autograd.grad(parts.find("objective", "forward_kl")(student_TV, teacher_TV).sum(), teacher_TV)
    assert grad_TV.any()


def test_the_definition_is_what_a_reader_and_a_recipe_see():
    loss = parts.find("objective", "symmetric_kl")
    assert parts.inputs(loss) == ["logits_TV", "teacher_logits_TV"]
    assert list(parts.options(loss)) == ["alpha", "temperature"]
    assert loss.__module__ == "whit.objectives.symmetric_kl"
