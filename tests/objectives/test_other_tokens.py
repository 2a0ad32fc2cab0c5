"""Losses between distributions over different vocabularies, and between hidden states of different widths."""

import pytest
import torch

from whit.objectives.byte_merge import byte_merge
from whit.objectives.hidden_cosine import hidden_cosine
from whit.objectives.hidden_mse import hidden_mse
from whit.objectives.sampled_reverse_kl import sampled_reverse_kl
from whit.objectives.uld import uld


def log(*rows: list[float]) -> torch.Tensor:
    return torch.tensor(rows, dtype=torch.float64).log()


def test_uld_of_the_method_card_with_the_shorter_vocabulary_filled():
    assert uld(log([0.5, 0.25, 0.25]), log([0.6, 0.3, 0.1, 0.0])).item() == pytest.approx(0.30)


def test_uld_does_not_look_at_which_token_has_which_probability():
    assert uld(log([0.1, 0.2, 0.7]), log([0.7, 0.1, 0.2])).item() == pytest.approx(0.0)


def test_uld_of_two_certain_models_that_disagree_is_zero_and_of_certain_and_uniform_nearly_two():
    assert uld(log([1.0, 0.0, 0.0]), log([0.0, 0.0, 1.0])).item() == 0.0
    uniform = [1e-3] * 1000
    assert uld(log(uniform), log([1.0])).item() == pytest.approx(2 * 0.999)


COMMON, TEACHER_COMMON = torch.tensor([0, 2]), torch.tensor([3, 1])


def test_common_tokens_are_compared_one_by_one_and_the_others_sorted():
    student, teacher = log([0.5, 0.3, 0.2]), log([0.25, 0.1, 0.05, 0.6])
    matched = 0.6 * torch.tensor(0.6 / 0.5).log() + 0.1 * torch.tensor(0.1 / 0.2).log()
    others = abs(0.3 - 0.25) + 0.05
    value = byte_merge(student, teacher, COMMON, TEACHER_COMMON).item()
    assert value == pytest.approx(0.5 * matched.item() + 0.5 * others)  # two of the teacher's four tokens are common
    weighted = byte_merge(student, teacher, COMMON, TEACHER_COMMON, matched_weight=1.0).item()
    assert weighted == pytest.approx(matched.item())


def test_one_vocabulary_under_other_ids_is_compared_as_if_it_had_the_same():
    order = torch.tensor([2, 0, 1])
    student, teacher = log([0.5, 0.25, 0.25]), log([0.7, 0.2, 0.1])
    for beta, value in ((0.0, 0.0992728), (1.0, 0.1166225), (0.5, 0.0263677)):
        found = byte_merge(student, teacher[:, order], torch.arange(3), order.argsort(), beta=beta)
        assert found.item() == pytest.approx(value, abs=1e-7)


def test_hidden_states_by_hand():
    student, teacher = torch.tensor([[[1.0, 0.0], [0.0, 2.0]]]), torch.tensor([[[0.0, 1.0], [0.0, 4.0]]])
    assert hidden_mse(student, teacher).tolist() == [(2 / 2 + 4 / 2) / 2]
    assert hidden_cosine(student, teacher).tolist() == pytest.approx([(1 + 0) / 2])
    assert hidden_mse(student, student).item() == hidden_cosine(student, 3 * student).item() == 0.0


def test_the_policy_gradient_on_own_samples_is_the_gradient_of_the_reverse_kl_on_average():
    student = torch.tensor([0.5, 0.25, 0.25], dtype=torch.float64).log().requires_grad_()
    teacher = torch.tensor([0.7, 0.2, 0.1], dtype=torch.float64).log()
    q = student.detach().exp()
    logprobs = student.log_softmax(-1)
    # All three tokens, each as often as the student draws it: the expectation itself.
    (grad,) = torch.autograd.grad((q * sampled_reverse_kl(logprobs, teacher)).sum(), student)
    assert grad.tolist() == pytest.approx([-0.2265473, 0.0266303, 0.1999171], abs=1e-7)
