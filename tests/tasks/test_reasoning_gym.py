"""Reasoning Gym: every generator of the library gives questions whose answers its own scoring takes."""

import sys
from functools import partial

import pytest

from whit.core.answers import completion_text
from whit.core.errors import UsageError, WhitError
from whit.core.scorers import runs_text
from whit.core.types import Example
from whit.tasks.reasoning_gym import reasoning_gym
from whit.verifiers._judge import judge
from whit.verifiers.reasoning_gym import reasoning_gym as verifier

library = pytest.importorskip("reasoning_gym")

RUN = {  # their scorers reach what may run an answer
    "binary_matrix", "bitwise_arithmetic", "boxnet", "composite", "countdown", "intermediate_integration", "n_queens",
    "number_sorting", "polynomial_multiplication", "puzzle24", "simple_integration", "spiral_matrix", "string_insertion",
}  # fmt: skip
TAKE_JUNK = {"coin_flip", "complex_arithmetic", "game_of_life_halting", "propositional_logic"}
REFUSED = {
    **dict.fromkeys(RUN, "may run the text that it scores"),
    **dict.fromkeys(TAKE_JUNK, "its scorer takes '"),
    "rush_hour": "gives no answer",
}
chain_sums = partial(reasoning_gym, dataset="chain_sum")


@pytest.fixture(scope="module")
def executed():
    """Code that was run from text while this list is filled; imports of modules are code from files."""
    found, is_on = [], [False]

    def hear(event: str, arguments: tuple) -> None:
        if is_on[0] and event == "exec" and arguments[0].co_filename.startswith("<"):
            found.append(arguments[0])

    sys.addaudithook(hear)  # it cannot be taken away
    yield found, is_on
    is_on[0] = False


def test_no_scorer_that_is_used_can_reach_what_runs_text():
    """A new version of the library that gives an answer to `eval` is found here, and refused where it is installed."""
    assert {name for name, (scorer, _) in library.factory.DATASETS.items() if runs_text(scorer)} == RUN


ANSWER = "__import__('os').getpid()"


@pytest.mark.slow  # 60 s for all
@pytest.mark.parametrize("name", sorted(library.factory.DATASETS))
def test_the_answers_of_every_generator_pass_its_own_scoring_and_no_text_is_run(name, executed):
    if name in REFUSED:
        with pytest.raises(WhitError, match=REFUSED[name]):
            next(reasoning_gym("train", dataset=name))
        return
    for example in reasoning_gym("train", dataset=name, size=2):
        assert verifier(completion_text(example), example).strict, example
        assert not verifier("", example).correct
        executed[1][0] = True
        assert not any(
            verifier(f"<answer>{junk}</answer>", example).correct for junk in ("banana", ANSWER, f"[{ANSWER}]")
        )
        executed[1][0] = False
    assert not executed[0]


REBOUND = "setattr(type(__import__('sys')._getframe(1).f_locals['self']), 'score_answer', lambda s, a, e: 1.0)"


def test_an_answer_that_is_code_is_not_run_whatever_the_example_names():
    example = Example(
        "1", "?", "1 2", verifier="reasoning_gym", answer_format="tags",
        metadata={"dataset": "spiral_matrix", "settings": {"seed": 1, "size": 10}, "index": 0},
    )  # fmt: skip
    with pytest.raises(UsageError, match=r"'spiral_matrix' is not used.*by 'eval'.*'countdown'"):
        verifier(f"<answer>{REBOUND}</answer>", example)
    assert judge(f"<answer>{REBOUND}</answer>", example).reward is None
    assert "is not used" in judge("<answer>banana</answer>", example).reason


@pytest.mark.parametrize(
    ("name", "junk"), [("game_of_life_halting", "'banana'"), ("complex_arithmetic", "'nan'"), ("coin_flip", "'0'")]
)
def test_a_generator_that_takes_junk_is_refused_and_the_junk_named(name, junk):
    with pytest.raises(UsageError, match=f"'{name}' is not used: its scorer takes {junk}"):
        next(reasoning_gym("train", dataset=name))


@pytest.mark.parametrize("name", ["gsm_symbolic", "knights_knaves", "letter_jumble"])
def test_the_gold_answer_with_words_around_it_is_never_strict(name):
    example = next(reasoning_gym("train", dataset=name))
    assert verifier(completion_text(example), example).strict
    assert not verifier(f"<answer>{example.gold} or 12345</answer>", example).strict
    assert not verifier(f"<answer>not {example.gold}</answer>", example).strict


@pytest.mark.parametrize("answer", ["yes", "1e400", "nan", "9" * 10_000, "1 " * 20_000, "[" * 9_000])
def test_an_answer_at_which_a_scorer_raises_is_wrong_and_not_a_crash(answer):
    example = next(reasoning_gym("train", dataset="prime_factorization"))
    found = verifier(f"<answer>{answer}</answer>", example)
    assert (found.correct, found.status, found.has_format) == (False, "ok", True) and found.reward <= 0.01


def test_splits_share_no_question_and_come_the_same_every_time():
    splits = {split: list(chain_sums(split, size=50)) for split in ("train", "dev", "test")}
    prompts = [example.prompt for examples in splits.values() for example in examples]
    assert len(set(prompts)) == len(prompts) == 150
    assert splits["test"] == list(chain_sums("test", size=50))
    assert not list(chain_sums("ood"))


@pytest.mark.slow  # 3 s: a worker starts
def test_a_worker_scores_as_here():
    example = next(chain_sums("train"))
    text = completion_text(example)
    assert judge(text, example) == verifier(text, example)


def test_coming_near_is_a_reward_and_not_right():
    example = next(reasoning_gym("train", dataset="color_cube_rotation"))
    found = verifier("<answer>banana</answer>", example)
    assert 0 < found.reward < 1 and not found.correct


def test_settings_reach_the_generator():
    example = next(chain_sums("train", settings={"min_terms": 7, "max_terms": 7}))
    assert sum(example.prompt.count(sign) for sign in (" + ", " - ")) == 6


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"dataset": "chain_sun"}, "Did you mean 'chain_sum'"),
        ({"dataset": "chain_sum", "settings": {"terms": 1}}, "does not take these settings"),
    ],
)
def test_what_the_library_does_not_have_is_said(settings, message):
    with pytest.raises(UsageError, match=message):
        next(reasoning_gym("train", **settings))
