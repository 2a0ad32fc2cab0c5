"""Scoring with worked examples: as many as leave room for an answer."""

import pytest

from whit.core.errors import PromptTooLongError
from whit.core.types import Example
from whit.stages._score import SHOTS, shots_that_fit


class Letters:
    """A renderer whose tokens are letters."""

    def __init__(self, max_length):
        self.max_length = max_length

    def prompt(self, messages):
        ids = [0] * sum(len(message.content) for message in messages)
        if len(ids) >= self.max_length:
            raise PromptTooLongError("too long", len(ids), self.max_length)
        return ids


SHOWN = [
    Example(str(i), "p" * 10, "a" * 5, instruction="") for i in range(6)
]  # with its answer, "#### aaaaa": 20 letters
ASKED = [Example("a", "q" * 10, "1", instruction=""), Example("b", "q" * 30, "1", instruction="")]


@pytest.mark.parametrize(
    ("context", "shots"), [(1000, SHOTS), (120, SHOTS), (119, SHOTS - 1), (60, 1), (59, 0), (20, 0)]
)
def test_as_many_as_leave_the_longest_item_room_for_its_answer(context, shots):
    assert shots_that_fit(Letters(context), ASKED, SHOWN, max_new_tokens=10) == shots


def test_an_item_that_does_not_fit_by_itself_takes_no_room_from_the_others():
    beside = [*ASKED, Example("c", "q" * 500, "1", instruction="")]
    assert shots_that_fit(Letters(120), beside, SHOWN, max_new_tokens=10) == SHOTS


def test_no_items_need_no_room():
    assert shots_that_fit(Letters(1000), [], SHOWN, max_new_tokens=10) == SHOTS
