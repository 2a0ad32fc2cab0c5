"""The family of distillation losses: values by hand, limiting cases, invariants, and a float64 reference."""

from functools import partial

import pytest
import torch
from torch import Tensor

from whit.objectives.adaptive_kl import adaptive_kl
from whit.objectives.forward_kl import forward_kl
from whit.objectives.generalised_jsd import generalised_jsd
from whit.objectives.reverse_kl import reverse_kl
from whit.objectives.skew_kl import skew_kl
from whit.objectives.skew_reverse_kl import skew_reverse_kl
from whit.objectives.symmetric_kl import symmetric_kl
from whit.objectives.taid import taid
from whit.objectives.total_variation import total_variation

P, Q = (torch.tensor([p], dtype=torch.float64).log() for p in ([0.7, 0.2, 0.1], [0.5, 0.25, 0.25]))
FAMILY = {
    "forward_kl": forward_kl,
    "reverse_kl": reverse_kl,
    "generalised_jsd": generalised_jsd,
    "symmetric_kl": symmetric_kl,
    "skew_kl": skew_kl,
    "skew_reverse_kl": skew_reverse_kl,
    "total_variation": total_variation,
    "adaptive_kl": adaptive_kl,
}
EACH = pytest.mark.parametrize("name", FAMILY)


def draw(seed: int = 0, num_tokens: int = 6, vocab: int = 11, scale: float = 2.0) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    student_TV = scale * torch.randn(num_tokens, vocab, generator=generator, dtype=torch.float64)
    teacher_TV = scale * torch.randn(num_tokens, vocab, generator=generator, dtype=torch.float64)
    return student_TV.requires_grad_(), teacher_TV


def kl(a: Tensor, b: Tensor) -> Tensor:
    return (a * (a / b).log()).sum()


def reference(name: str, student_TV: Tensor, teacher_TV: Tensor) -> Tensor:
    """The definitions of the method card, in probabilities, row by row, at the defaults."""
    rows = []
    for z_s, z_t in zip(student_TV, teacher_TV, strict=True):
        q, p = z_s.softmax(-1), z_t.softmax(-1)

        if name == "adaptive_kl":
            order = p.argsort(descending=True)
            head, mass = [int(order[0])], float(p[order[0]])
            for index in order[1:].tolist():
                mass += float(p[index])
                if mass > 0.5:
                    break
                head.append(index)
            gap = (p - q).abs()
            in_head = gap[head].sum()
            in_tail = gap.sum() - in_head
            value = (in_head * kl(p, q) + in_tail * kl(q, p)) / (in_head + in_tail)
        else:
            m = 0.5 * p + 0.5 * q
            value = {
                "forward_kl": kl(p, q),
                "reverse_kl": kl(q, p),
                "generalised_jsd": 0.5 * kl(p, m) + 0.5 * kl(q, m),
                "symmetric_kl": 0.1 * kl(p, q) + 0.9 * kl(q, p),
                "skew_kl": kl(p, 0.1 * p + 0.9 * q),
                "skew_reverse_kl": kl(q, 0.9 * p + 0.1 * q),
                "total_variation": 0.5 * (p - q).abs().sum(),
            }[name]
        rows.append(value)
    return torch.stack(rows)


@pytest.mark.parametrize(
    ("loss", "value"),
    [
        (forward_kl, 0.0992728),
        (reverse_kl, 0.1166225),
        (partial(generalised_jsd, beta=0.1), 0.0090229),
        (partial(generalised_jsd, beta=0.5), 0.0263677),
        (partial(generalised_jsd, beta=0.9), 0.0102392),
        (skew_kl, 0.0820464),
        (skew_reverse_kl, 0.0900026),
        (total_variation, 0.2),
        (adaptive_kl, 0.1079476),
        (symmetric_kl, 0.1 * 0.0992728 + 0.9 * 0.1166225),
    ],
)
def test_values_of_the_method_card(loss, value):
    assert loss(Q, P).item() == pytest.approx(value, abs=1e-7)


@EACH
def test_it_equals_the_definition_written_out_in_probabilities(name):
    student_TV, teacher_TV = draw(num_tokens=40)
    torch.testing.assert_close(FAMILY[name](student_TV, teacher_TV), reference(name, student_TV, teacher_TV))


@EACH
def test_it_is_zero_where_student_and_teacher_agree_and_positive_elsewhere(name):
    student_TV, teacher_TV = draw(num_tokens=500)
    assert (FAMILY[name](student_TV, teacher_TV) > 0).all()
    agreed_T = FAMILY[name](student_TV, student_TV.detach() + 3)
    assert agreed_T.abs().max() < 1e-14


@EACH
def test_constants_of_a_row_and_the_order_of_the_vocabulary_do_not_matter(name):
    student_TV, teacher_TV = draw()
    order = torch.randperm(11, generator=torch.Generator().manual_seed(1))
    value_T = FAMILY[name](student_TV, teacher_TV)
    torch.testing.assert_close(FAMILY[name](student_TV + 7, teacher_TV - 4), value_T)
    torch.testing.assert_close(FAMILY[name](student_TV[:, order], teacher_TV[:, order]), value_T)


@EACH
def test_a_token_that_both_rule_out_changes_neither_value_nor_gradient(name):
    student_TV, teacher_TV = draw()
    banned_T1 = torch.full((6, 1), -torch.inf, dtype=torch.float64)
    wide_TV = torch.cat([student_TV.detach(), banned_T1], 1).requires_grad_()
    value_T = FAMILY[name](wide_TV, torch.cat([teacher_TV, banned_T1], 1))
    torch.testing.assert_close(value_T, FAMILY[name](student_TV, teacher_TV))
    (wide_grad,) = torch.autograd.grad(value_T.sum(), wide_TV)
    (grad,) = torch.autograd.grad(FAMILY[name](student_TV, teacher_TV).sum(), student_TV)
    torch.testing.assert_close(wide_grad[:, :-1], grad)
    assert not wide_grad[:, -1].any()


@EACH
def test_the_teacher_is_given_no_gradient_by_a_loss_that_is_not_asked_for_it(name):
    student_TV, teacher_TV = draw()
    (grad_TV,) = torch.autograd.grad(FAMILY[name](student_TV, teacher_TV).sum(), student_TV)
    assert grad_TV.sum(-1).abs().max() < 1e-12  # a softmax moves no constant


@EACH
def test_bfloat16_logits_are_compared_in_float32(name):
    student_TV, teacher_TV = (logits.detach().to(torch.bfloat16) for logits in draw())
    found_T = FAMILY[name](student_TV, teacher_TV)
    torch.testing.assert_close(found_T, FAMILY[name](student_TV.float(), teacher_TV.float()))


def test_jsd_at_the_ends_is_the_kl_itself_and_near_them_a_share_of_it():
    student_TV, teacher_TV = draw()
    forward_T, reverse_T = forward_kl(student_TV, teacher_TV), reverse_kl(student_TV, teacher_TV)
    assert torch.equal(generalised_jsd(student_TV, teacher_TV, beta=0.0), forward_T)
    assert torch.equal(generalised_jsd(student_TV, teacher_TV, beta=1.0), reverse_T)
    near = 1e-6
    torch.testing.assert_close(
        generalised_jsd(student_TV, teacher_TV, beta=near) / near, forward_T, rtol=1e-3, atol=1e-4
    )
    torch.testing.assert_close(
        generalised_jsd(student_TV, teacher_TV, beta=1 - near) / near, reverse_T, rtol=1e-3, atol=1e-4
    )


def test_jsd_with_the_sides_exchanged_has_the_other_beta():
    student_TV, teacher_TV = draw()
    torch.testing.assert_close(
        generalised_jsd(student_TV, teacher_TV, beta=0.3), generalised_jsd(teacher_TV, student_TV, beta=0.7)
    )


def test_skew_without_skew_is_the_kl_and_is_bounded_with_it():
    student_TV, teacher_TV = draw(scale=60.0)
    assert torch.equal(skew_kl(student_TV, teacher_TV, alpha=0.0), forward_kl(student_TV, teacher_TV))
    assert torch.equal(skew_reverse_kl(student_TV, teacher_TV, alpha=0.0), reverse_kl(student_TV, teacher_TV))
    assert forward_kl(student_TV, teacher_TV).max() > 10
    assert skew_kl(student_TV, teacher_TV, alpha=0.1).max() <= -torch.tensor(0.1).log() + 1e-9


def test_a_detached_mixture_has_the_same_value_and_the_gradient_of_a_fixed_one():
    student_TV, teacher_TV = draw()
    value_T = skew_reverse_kl(student_TV, teacher_TV, detach_mixture=True)
    assert torch.equal(value_T, skew_reverse_kl(student_TV, teacher_TV))
    mixed_TV = (0.9 * teacher_TV.softmax(-1) + 0.1 * student_TV.detach().softmax(-1)).log()
    (grad_TV,) = torch.autograd.grad(value_T.sum(), student_TV)
    (expected_TV,) = torch.autograd.grad(reverse_kl(student_TV, mixed_TV).sum(), student_TV)
    torch.testing.assert_close(grad_TV, expected_TV)


def test_symmetric_kl_at_its_ends_is_one_of_the_two():
    student_TV, teacher_TV = draw()
    torch.testing.assert_close(symmetric_kl(student_TV, teacher_TV, alpha=0.0), forward_kl(student_TV, teacher_TV))
    torch.testing.assert_close(symmetric_kl(student_TV, teacher_TV, alpha=1.0), reverse_kl(student_TV, teacher_TV))


def test_adaptive_kl_looks_at_each_token_where_it_stands_in_the_vocabulary():
    # The likeliest token stands last; a mask of the sorted order laid over the unsorted gaps would take the first.
    teacher_TV, student_TV = (torch.tensor([p], dtype=torch.float64).log() for p in ([0.1, 0.2, 0.7], [0.1, 0.5, 0.4]))
    forward, reverse = (kl(student_TV, teacher_TV).item() for kl in (forward_kl, reverse_kl))
    assert adaptive_kl(student_TV, teacher_TV).item() == pytest.approx(0.5 * forward + 0.5 * reverse)  # gaps 0.3, 0.3


def test_the_weights_of_adaptive_kl_carry_no_gradient():
    student_TV, teacher_TV = draw()
    (grad_TV,) = torch.autograd.grad(adaptive_kl(student_TV, teacher_TV).sum(), student_TV)
    for row in range(len(student_TV)):
        one = student_TV[row : row + 1].detach().requires_grad_()
        forward, reverse = forward_kl(one, teacher_TV[row : row + 1]), reverse_kl(one, teacher_TV[row : row + 1])
        found = adaptive_kl(one, teacher_TV[row : row + 1])
        share = ((found - reverse) / (forward - reverse)).item()
        (expected,) = torch.autograd.grad((share * forward + (1 - share) * reverse).sum(), one)
        torch.testing.assert_close(grad_TV[row], expected[0])


@pytest.mark.parametrize(
    ("name", "t"), [("forward_kl", 2.0), ("generalised_jsd", 3.0), ("symmetric_kl", 2.0), ("total_variation", 0.5)]
)
def test_temperature_softens_both_and_multiplies_by_its_square(name, t):
    student_TV, teacher_TV = draw()
    torch.testing.assert_close(
        FAMILY[name](student_TV, teacher_TV, temperature=t), t**2 * FAMILY[name](student_TV / t, teacher_TV / t)
    )


@pytest.mark.parametrize(("t", "value", "gradient"), [
    (0.4, 0.9791952, [-0.0873200, 0.0152370, 0.0720829]),
    (0.0, 1.0397208, [0.0, 0.0, 0.0]),
    (1.0, 0.9010913, [-0.2, 0.05, 0.15]),
])  # fmt: skip
def test_taid_values_and_gradients_of_the_method_card(t, value, gradient):
    student_TV = Q.clone().requires_grad_()
    found_T = taid(student_TV, P, t)
    (grad_TV,) = torch.autograd.grad(found_T.sum(), student_TV)
    assert found_T.item() == pytest.approx(value, abs=1e-7)
    assert grad_TV[0].tolist() == pytest.approx(gradient, abs=1e-7)


def test_taid_moves_the_student_towards_its_target_and_not_the_target():
    student_TV, teacher_TV = draw()
    (grad_TV,) = torch.autograd.grad(taid(student_TV, teacher_TV, 0.3).sum(), student_TV)
    target_TV = (0.7 * student_TV.detach() + 0.3 * teacher_TV).softmax(-1)
    torch.testing.assert_close(grad_TV, student_TV.detach().softmax(-1) - target_TV)


def test_taid_at_the_teacher_is_forward_kl_in_its_cross_entropy_form():
    student_TV, teacher_TV = draw()
    entropy_T = -(teacher_TV.softmax(-1) * teacher_TV.log_softmax(-1)).sum(-1)
    torch.testing.assert_close(taid(student_TV, teacher_TV, 1.0), forward_kl(student_TV, teacher_TV) + entropy_T)
