"""Losses that compare states with a task space: closed forms by hand."""

import math

import pytest
import torch

from whit.objectives.space_bottleneck import space_bottleneck
from whit.objectives.space_cross_entropy import space_cross_entropy
from whit.objectives.space_projection import space_projection
from whit.objectives.space_target import space_target
from whit.training.guide import GUIDED, Guide

FIRST = torch.tensor([0])
ALL = set(GUIDED)


def guide(directions=4, width=8, mean=0.0, **given):
    """One layer of orthonormal directions."""
    base = torch.eye(directions, width, dtype=torch.float64)[None]
    mean_LD = torch.full((1, width), mean, dtype=torch.float64)
    return Guide(base, mean_LD, torch.full((1, directions), 3.0, dtype=torch.float64), list(base), **given)


def read(state, label=1, **given):
    """What a guide reads off one state at one layer."""
    state_TLD = torch.tensor([[state]], dtype=torch.float64, requires_grad=True)
    return guide(**given).read(state_TLD, torch.tensor([label]), ALL), state_TLD


def state(*values, width=8):
    return [*values, *[0.0] * (width - len(values))]


@pytest.mark.parametrize("length", [0.1, 1.0, 40.0])
def test_a_state_on_the_label_s_direction_has_the_cross_entropy_of_one_and_zeros(length):
    """ln(1 + (K - 1) e^(-1/T)): with four labels and T = 1, ln(1 + 3/e) = 0.7437."""
    found, _ = read(state(0.0, length))
    loss = space_cross_entropy(found["coordinates_TLK"], torch.tensor([1]), FIRST, temperature=1.0)
    assert float(loss) == pytest.approx(0.743668, abs=1e-6)
    sharp = space_cross_entropy(found["coordinates_TLK"], torch.tensor([1]), FIRST, temperature=0.1)
    assert float(sharp) == pytest.approx(math.log(1 + 3 * math.exp(-10)), abs=1e-9)


def test_a_state_outside_of_the_space_tells_nothing_and_moves_nothing():
    found, state_TLD = read(state(0.0, 0.0, 0.0, 0.0, 5.0))
    loss = space_cross_entropy(found["coordinates_TLK"], torch.tensor([1]), FIRST, temperature=0.1)
    assert float(loss) == pytest.approx(math.log(4))
    assert found["coordinates_TLK"].tolist() == [[[0.0] * 4]]
    loss.sum().backward()
    assert state_TLD.grad.isfinite().all()


def test_other_tokens_than_the_first_of_an_answer_count_nothing():
    coordinates = torch.rand(3, 2, 4, dtype=torch.float64)
    label, offset = torch.tensor([0, 1, 2]), torch.tensor([0, 1, 2])
    assert space_cross_entropy(coordinates, label, offset)[1:].tolist() == [0.0, 0.0]
    assert space_projection(torch.rand(3, 2), offset)[1:].tolist() == [0.0, 0.0]
    assert space_bottleneck(coordinates, label, offset, torch.zeros(3, 4))[1:].tolist() == [0.0, 0.0]


@pytest.mark.parametrize("length", [0.5, 1.0, 1000.0])
def test_the_projection_is_0_inside_of_the_space_1_outside_and_blind_to_length(length):
    inside, _ = read(state(length, 2 * length))
    outside, _ = read(state(0, 0, 0, 0, length))
    half, _ = read(state(length, 0, 0, 0, length))
    for found, share in ((inside, 0.0), (outside, 1.0), (half, 0.5)):
        assert float(space_projection(found["outside_TL"], FIRST)) == pytest.approx(share, abs=1e-9)


def test_the_mean_is_taken_away_first():
    found, _ = read([value + 7.0 for value in state(0.0, 2.0)], mean=7.0)
    assert found["coordinates_TLK"].flatten().tolist() == pytest.approx([0.0, 1.0, 0.0, 0.0])


def test_a_target_is_the_state_before_and_the_label_s_direction_at_its_length():
    """A push is 3 long: from (0, 1, ..) with alpha 2 to (0, 1 + 6, ..), and the state stands 4 to the side of that."""
    found, state_TLD = read(state(4.0, 7.0))
    before = torch.tensor([[state(0.0, 1.0)]], dtype=torch.float64)
    assert float(space_target(found["states_TLD"], before, found["push_TLD"], alpha=2.0)) == pytest.approx(4.0)
    there = space_target(before + 2 * found["push_TLD"], before, found["push_TLD"], alpha=2.0)
    assert float(there) == 0.0
    at_target = (before + 2 * found["push_TLD"]).requires_grad_()
    space_target(at_target, before, found["push_TLD"], alpha=2.0).sum().backward()
    assert at_target.grad.abs().sum() == 0 and state_TLD.grad is None


def test_a_bottleneck_by_hand():
    """Cosines (0, 1, 0, 0), no noise drawn, sigma 0.5: KL is half of (1 + 4 (1/4 - 1 + 2 ln 2)), which is 1.7726."""
    found, _ = read(state(0.0, 2.0))
    plain = space_cross_entropy(found["coordinates_TLK"], torch.tensor([1]), FIRST)
    loss = space_bottleneck(
        found["coordinates_TLK"], torch.tensor([1]), FIRST, torch.zeros(1, 4), sigma=0.5, kl_weight=0.1
    )
    assert float(loss - plain) == pytest.approx(0.1 * 1.772589, abs=1e-6)
    pushed = space_bottleneck(
        found["coordinates_TLK"], torch.tensor([1]), FIRST, torch.tensor([[9.0, 0, 0, 0]]), sigma=0.5, kl_weight=0.0
    )
    assert float(pushed) == pytest.approx(math.log(1 + math.exp((4.5 - 1) / 0.1) + 2 * math.exp(-10)), rel=1e-6)


def test_only_the_places_that_are_asked_for_count():
    coordinates = torch.rand(1, 3, 4, dtype=torch.float64)
    alone = [space_cross_entropy(coordinates[:, n : n + 1], torch.tensor([2]), FIRST) for n in range(3)]
    both = space_cross_entropy(coordinates, torch.tensor([2]), FIRST, places=(0, 2))
    assert float(both) == pytest.approx(float(alone[0] + alone[2]) / 2)


def test_a_learned_guide_begins_at_no_opinion_and_has_a_gradient_the_constants_have_none():
    found, _ = read(state(1.0, 2.0), is_learned=True)
    assert found["coordinates_TLK"].abs().sum() == 0
    learned, fixed = guide(is_learned=True), guide()
    assert [name for name, _ in learned.named_parameters()] == ["weight_LKD"] and not list(fixed.parameters())
    states = torch.randn(2, 1, 8, dtype=torch.float64)
    label = torch.tensor([0, 3])
    loss = space_cross_entropy(learned.read(states, label, ALL)["coordinates_TLK"], label, torch.tensor([0, 0]))
    loss.sum().backward()
    assert learned.weight_LKD.grad.abs().sum() > 0
