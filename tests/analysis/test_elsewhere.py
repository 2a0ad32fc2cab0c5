"""The panel off the task: bits per byte against transformers, and what counts as following an instruction."""

import json

import pytest

from whit.analysis.elsewhere import CHECKS, PANEL, elsewhere, follows

ASKED = json.loads(PANEL.read_text())["instructions"]
FOLLOWED = {
    "upper": "THE SEA IS WIDE.", "lower": "snow lies on the roofs.", "without": "Roses grow by the wall.",
    "without_word": "Dogs bark. They run.", "starts": "Certainly, it is Paris.", "ends": "Close the tap. Thank you.",
    "words": "Mars", "lines": "cat\ndog\n\ncow", "bullets": "* tall\n* green", "quoted": '"The Long Road"',
    "json": '{"city": "Rome", "country": "Italy"}', "times": "A river is crossed where the river is narrow.",
}  # fmt: skip
IGNORED = {
    "upper": "The SEA.", "lower": "Snow lies.", "without": "Roses, mostly.", "without_word": "A Pet barks.",
    "starts": "It is Paris, certainly.", "ends": "Thank you. Close the tap.", "words": "It is Mars",
    "lines": "cat, dog, cow", "bullets": "* tall\n* green\n* old", "quoted": '"The" Long "Road"',
    "json": '{"city": "Rome"}', "times": "It crosses a river.",
}  # fmt: skip


def first(check):
    return next(row for row in ASKED if row["check"] == check)


@pytest.mark.parametrize("check", CHECKS)
def test_an_instruction_is_followed_or_not(check):
    assert follows(FOLLOWED[check], first(check))
    assert not follows(IGNORED[check], first(check))
    assert not follows("  \n", first(check))


def test_every_instruction_has_a_check_and_every_check_an_instruction():
    assert {row["check"] for row in ASKED} == CHECKS.keys()
    assert len({row["prompt"] for row in ASKED}) == len(ASKED) == 24


def test_a_model_is_measured_on_the_whole_panel(tiny_model):
    found = elsewhere(tiny_model, dtype="float32", device="cpu", template=None)
    assert found["bits_per_byte"] > 4  # random weights over a small vocabulary
    assert len(found["answers"]) == 24
    share = sum(row["followed"] for row in found["answers"]) / 24
    assert found["instructions"][0] == pytest.approx(share)
