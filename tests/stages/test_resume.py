"""A stage that was killed and goes on ends with the weights, the ledger and the metrics of one that was not."""

import pytest
from stage_runs import EACH_CASE, flops_of, metrics, perform_case, weights_hash


class KilledError(Exception):
    """The process is gone."""


def killed_after(step: int):
    def notify(line):
        if line.get("step") == step:
            raise KilledError

    return notify


@pytest.mark.parametrize("killed", [0, 1, 2])
@pytest.mark.parametrize("case", EACH_CASE)
def test_going_on_after_a_kill_equals_no_interruption(case, killed, tiny_model, sums, tmp_path):
    whole = perform_case(case, tiny_model, sums, tmp_path / "whole")
    with pytest.raises(KilledError):
        perform_case(case, tiny_model, sums, tmp_path / "cut", notify=killed_after(killed), checkpoint_seconds=0)
    cut = perform_case(case, tiny_model, sums, tmp_path / "cut", checkpoint_seconds=0)
    assert weights_hash(cut) == weights_hash(whole)
    assert flops_of(cut) == flops_of(whole)
    assert without_time(metrics(cut)) == without_time(metrics(whole))
    assert cut.facts()["outcome"] == whole.facts()["outcome"]


def without_time(lines: list[dict[str, float]]) -> list[dict[str, float]]:
    return [{name: value for name, value in line.items() if name != "seconds"} for line in lines]
