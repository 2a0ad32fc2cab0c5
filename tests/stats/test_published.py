"""Published totals support little: the tables of the reference study, arXiv:2506.13404, tables 2 and 3."""

import math

import pytest

from whit.core.errors import UsageError
from whit.stats.published import Published, claims

ITEMS = {"olympiad": 675, "math500": 500, "minerva": 272, "amc23": 40, "gsm8k": 1319}
UNTRAINED = (6.2, 31.4, 6.3, 5.0, 45.5)
INSTRUCT = {
    "kd": (3.7, 15.2, 3.3, 2.5, 42.3),
    "kd lora": (3.0, 16.6, 1.8, 10.0, 40.0),
    "sft": (2.4, 12.2, 2.9, 5.0, 30.9),
    "sft lora": (3.7, 14.8, 2.9, 7.5, 31.4),
    "rl": (7.6, 32.4, 8.5, 7.5, 54.0),
    "kd lora, rl": (4.6, 19.4, 3.7, 5.0, 47.9),
    "sft, rl": (3.1, 13.8, 4.8, 10.0, 45.5),
    "sft lora, rl": (2.2, 16.0, 3.7, 5.0, 44.3),
}


def published(row, benchmark):
    return Published(row[list(ITEMS).index(benchmark)] / 100, ITEMS[benchmark])


@pytest.fixture(scope="module")
def found():
    cells = [(name, benchmark) for name in INSTRUCT for benchmark in ITEMS]
    pairs = [(published(INSTRUCT[name], benchmark), published(UNTRAINED, benchmark)) for name, benchmark in cells]
    assert len(pairs) == 40
    return dict(zip(cells, claims(pairs), strict=True))


def test_the_only_significant_gain_over_no_training_is_rl_on_gsm8k(found):
    gains = {cell: claim for cell, claim in found.items() if claim.is_significant and claim.difference > 0}
    assert list(gains) == [("rl", "gsm8k")]
    assert gains["rl", "gsm8k"].difference == pytest.approx(0.085)
    assert gains["rl", "gsm8k"].z == pytest.approx(4.4, abs=0.05)


def test_eleven_losses_are_significant(found):
    losses = {cell for cell, claim in found.items() if claim.is_significant and claim.difference < 0}
    assert len(losses) == 11
    assert {cell for cell in losses if cell[1] == "math500"} == {(name, "math500") for name in INSTRUCT if name != "rl"}
    assert found["sft", "gsm8k"].z == pytest.approx(-7.8, abs=0.05)
    on_math = [claim.z for (name, benchmark), claim in found.items() if benchmark == "math500" and name != "rl"]
    assert (max(on_math), min(on_math)) == (pytest.approx(-4.4, abs=0.05), pytest.approx(-7.6, abs=0.3))


def test_rl_on_the_other_benchmarks_is_noise(found):
    zs = {benchmark: found["rl", benchmark].z for benchmark in ITEMS}
    assert zs["math500"] == pytest.approx(0.3, abs=0.05)
    assert zs["olympiad"] == pytest.approx(1.0, abs=0.05)
    assert zs["minerva"] == pytest.approx(1.0, abs=0.05)
    assert zs["amc23"] == pytest.approx(0.5, abs=0.05)


def test_rl_beats_distillation_then_rl_on_gsm8k():
    (claim,) = claims([(published(INSTRUCT["rl"], "gsm8k"), published(INSTRUCT["kd lora, rl"], "gsm8k"))])
    assert claim.z == pytest.approx(3.1, abs=0.05)
    assert claim.is_significant


def test_holm_by_hand():
    """p = 0.001, 0.02, 0.04 of three: 0.001 < 0.05/3, 0.02 < 0.05/2, 0.04 < 0.05: all; with a fourth at 0.9, one."""

    def pair(z):  # both near a half, of 10,000 items: the difference has a standard error of sqrt(0.5 / 10,000)
        return Published(0.5 + z * math.sqrt(0.5 / 10_000), 10_000), Published(0.5, 10_000)

    three = claims([pair(3.29), pair(2.33), pair(2.055)])
    assert [claim.p_value for claim in three] == pytest.approx([0.001, 0.02, 0.04], rel=0.05)
    assert all(claim.is_significant for claim in three)
    four = claims([pair(3.29), pair(2.33), pair(2.055), pair(0.1)])
    assert [claim.is_significant for claim in four] == [True, False, False, False]


def test_scores_without_spread():
    same, better = claims([(Published(1, 5), Published(1, 9)), (Published(1, 5), Published(0, 5))])
    assert (same.z, same.is_significant) == (0.0, False)
    assert (better.z, better.is_significant) == (math.inf, True)


def test_what_is_no_score():
    with pytest.raises(UsageError, match=r"accuracy=45\.5 of 1319 items: give a share"):
        Published(45.5, 1319)
