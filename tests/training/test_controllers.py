"""What a distillation moves beside the weights: TAID's interpolation and DistiLLM's replay. Both are saved and restored."""

import json
from random import Random

import pytest

from whit.testing.tiny import tiny_documents
from whit.training.interpolation import Interpolation, Interpolator
from whit.training.replay import Replay, Replayer


def told(losses: list[float], progress: float = 0.0, **settings: float) -> list[float]:
    """t before each step, for these losses."""
    interpolator = Interpolator(Interpolation(**settings))
    values = []
    for loss in losses:
        values.append(interpolator.value)
        interpolator.observe({"taid": loss, "progress": progress})
    return [*values, interpolator.value]


def test_equal_losses_move_it_by_half_of_alpha():
    assert told([3.0, 3.0, 3.0, 3.0])[1:] == pytest.approx([0.4, 0.40015, 0.4002999625, 0.4004498875], abs=1e-10)


def test_a_loss_that_falls_moves_it_further():
    assert told([3.0, 2.4])[-1] == pytest.approx(0.40015015, abs=1e-8)


def test_it_never_falls_below_the_line_nor_passes_the_end_nor_goes_back():
    interpolator = Interpolator(Interpolation(alpha=0.5, end=0.9))
    values = []
    for step in range(50):
        interpolator.observe({"taid": 3.0 + step % 3, "progress": step / 50})
        values.append(interpolator.value)
        assert values[-1] >= min(0.9, 0.4 + 0.5 * step / 50)
    assert values == sorted(values)
    assert values[-1] == 0.9


def test_without_alpha_it_is_the_line():
    assert told([3.0, 2.0], progress=0.5, alpha=0.0)[-1] == pytest.approx(0.7)


def test_restored_it_goes_on_as_if_nothing_had_happened():
    one, other = Interpolator(Interpolation(alpha=0.01)), Interpolator(Interpolation(alpha=0.01))
    for loss in (3.0, 2.5):
        one.observe({"taid": loss, "progress": 0.1})
    other.restore(json.loads(json.dumps(one.state())))
    for each in (one, other):
        each.observe({"taid": 2.0, "progress": 0.1})
    assert one.value == other.value


def test_the_first_validation_only_sets_the_mark_and_one_that_rises_asks_for_more():
    replayer = Replayer(Replay(eps=0.1))
    for loss, probability in ((2.0, 0.0), (2.05, 0.0), (1.5, 0.0), (2.1, 0.1), (2.15, 0.1), (2.2, 0.2)):
        replayer.validated(loss)
        assert replayer.probability == pytest.approx(probability), loss


def with_probability(probability: float, schedule: str, *, is_full: bool = True) -> Replayer:
    replayer = Replayer(Replay(schedule=schedule, capacity=2))
    replayer.probability = probability
    if is_full:
        replayer.push(tiny_documents((3, 2), (3, 2)))
    return replayer


@pytest.mark.parametrize(
    ("schedule", "progress", "draw", "source"),
    [
        ("decreasing", 0.25, 0.44, "student"),  # 0.6 x 0.75 = 0.45
        ("decreasing", 0.25, 0.46, "buffer"),
        ("decreasing", 0.25, 0.61, "data"),
        ("constant", 0.9, 0.29, "student"),
        ("constant", 0.9, 0.31, "buffer"),
        ("increasing", 0.25, 0.14, "student"),
        ("increasing", 0.25, 0.16, "buffer"),
    ],
)
def test_a_draw_decides_between_fresh_text_old_text_and_data(schedule, progress, draw, source):
    assert with_probability(0.6, schedule).choose(draw, progress) == source


def test_a_buffer_that_is_not_full_is_filled_first():
    assert with_probability(0.6, "decreasing", is_full=False).choose(0.59, 1.0) == "student"


def test_old_text_makes_room_for_new_and_comes_back_after_a_restart():
    replayer = Replayer(Replay(capacity=2))
    documents = tiny_documents((3, 2), (4, 1), (2, 5))
    replayer.push(documents)
    other = Replayer(Replay(capacity=2))
    other.restore(json.loads(json.dumps(replayer.state())))
    assert [list(d.ids) for d in other.buffer] == [d.ids for d in documents[1:]]
    assert [d.spans for d in other.buffer] == [d.spans for d in documents[1:]]
    drawn = other.draw(2, Random(0))
    assert sorted(len(d.ids) for d in drawn) == sorted(len(d.ids) for d in documents[1:])
