"""A weight that rises while the entropy is low, by TRL's rules: looked at after an update, paid from the next one on."""

import pytest

from whit.core.errors import RecipeError
from whit.core.settings import check_settings
from whit.stages.rl import rl
from whit.training.entropy_target import EntropyKeeper, EntropyTarget


def paid(entropies: list[float], **settings: float) -> list[float]:
    """What each update pays, given the entropies that they show."""
    keeper, weights = EntropyKeeper(EntropyTarget(target=0.5, change=0.25, **settings)), []
    for entropy in entropies:
        weights.append(keeper.coefficient(0.0))
        keeper.observe({"entropy": entropy})
    return weights


def test_the_first_update_pays_nothing_whatever_the_weight():
    assert paid([0.1], weight=0.25) == [0.0]


def test_it_rises_at_or_below_the_target_as_far_as_it_may():
    assert paid([0.5, 0.5, 0.1, 0.1], most=0.6) == [0.0, 0.25, 0.5, 0.6]


def test_above_the_target_nothing_is_paid_and_the_weight_falls_to_nothing():
    # 0.75 after the first; 0.5 and 0.25 unpaid; 0.5 when it is low again
    assert paid([0.4, 0.6, 0.6, 0.4, 0.4], weight=0.5) == [0.0, 0.75, 0.0, 0.0, 0.5]
    assert paid([0.9, 0.9, 0.9, 0.4, 0.4], weight=0.25) == [0.0, 0.0, 0.0, 0.0, 0.25]


def test_restored_it_goes_on_as_if_nothing_had_happened():
    settings = EntropyTarget(target=0.5)
    whole, again = EntropyKeeper(settings), EntropyKeeper(settings)
    whole.observe({"entropy": 0.1})
    again.restore(whole.state())
    for keeper in (whole, again):
        keeper.observe({"entropy": 0.2})
    assert again.coefficient(0.0) == whole.coefficient(0.0) == pytest.approx(0.01)


@pytest.mark.parametrize("entropy", [{"target": 0.0}, {"target": 0.3, "weight": 2.0}, -0.1, {"goal": 0.3}])
def test_what_cannot_be_is_refused(entropy):
    with pytest.raises(RecipeError, match="entropy"):
        check_settings(rl, {"entropy": entropy}, "stage.1")
