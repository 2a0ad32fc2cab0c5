"""How the curricula choose, on numbers that can be worked out."""

from collections import Counter

import pytest

from whit.core.errors import RecipeError
from whit.core.types import Example
from whit.curricula._types import Tried
from whit.curricula.dads import dads
from whit.curricula.difficulty import difficulty
from whit.curricula.epochs import epochs
from whit.curricula.hard_replay import hard_replay
from whit.curricula.mixture import mixture

TWO = [Example(str(n), "?", "1", metadata={"domain": "easy" if n < 50 else "hard"}) for n in range(100)]


def domains(chosen: list[int]) -> Counter[str]:
    return Counter("easy" if i < 50 else "hard" for i in chosen)


def test_an_epoch_has_every_prompt_once():
    curriculum = epochs(TWO, 0)
    first = [i for _ in range(10) for i in curriculum.choose(10)]
    second = [i for _ in range(10) for i in curriculum.choose(10)]
    assert sorted(first) == sorted(second) == list(range(100))
    assert first != second


def test_a_step_of_more_prompts_than_there_are_has_each_once():
    assert sorted(epochs(TWO[:3], 0).choose(7)) == [0, 1, 2]


def test_steps_are_whole_until_there_are_no_more_prompts():
    curriculum = epochs(TWO[:10], 0)
    assert [len(curriculum.choose(4)) for _ in range(20)] == [4] * 20


def test_a_pool_may_grow_and_shrink():
    curriculum = epochs(TWO, 0)
    for size in (2, 4, 8, 3):
        assert sorted(curriculum.next_of("own", range(size), size)) == list(range(size))


@pytest.mark.parametrize(("shares", "count"), [((1,) * 8, 4), ((2, 1), 1), ((5, 3, 2), 7), ((1, 1, 1), 16)])
def test_what_rounding_takes_from_a_domain_it_gets_later(shares, count):
    examples = [Example(str(n), "?", "1", metadata={"domain": n % len(shares)}) for n in range(200)]
    curriculum = mixture(examples, 0, shares={str(n): share for n, share in enumerate(shares)})
    chosen = Counter(examples[i].metadata["domain"] for _ in range(200) for i in curriculum.choose(count))
    for n, share in enumerate(shares):
        assert chosen[n] == pytest.approx(200 * count * share / sum(shares), abs=2)


def test_a_mixture_keeps_its_shares_whatever_the_sizes_of_the_domains():
    curriculum = mixture(TWO, 0, shares={"easy": 1, "hard": 3})
    assert all(domains(curriculum.choose(8)) == {"easy": 2, "hard": 6} for _ in range(5))


@pytest.mark.parametrize(
    ("shares", "said"),
    [({"easy": 1, "hadr": 1}, "no domain 'hadr'. Did you mean 'hard'"), ({"easy": 1}, "no share for hard")],
)
def test_a_mixture_names_the_domains_of_the_task(shares, said):
    with pytest.raises(RecipeError, match=said):
        mixture(TWO, 0, shares=shares)


def seen(curriculum, easy: float, hard: float):
    curriculum.see([Tried(0, easy), Tried(99, hard)])
    return curriculum.weights()


def test_dads_weighs_domains_by_how_far_they_are_from_solved():
    # exp(0.1 / 0.5) + 0.1 = 1.3214, exp(0.9 / 0.5) + 0.1 = 6.1496
    assert seen(dads(TWO, 0), 0.9, 0.1) == pytest.approx({"easy": 0.1769, "hard": 0.8231}, abs=1e-4)
    assert seen(dads(TWO, 0), 0.4, 0.4) == pytest.approx({"easy": 0.5, "hard": 0.5})
    assert seen(dads(TWO, 0, tau=1e6), 0.9, 0.1) == pytest.approx({"easy": 0.5, "hard": 0.5}, abs=1e-5)


def test_dads_averages_over_steps():
    curriculum = dads(TWO, 0, alpha=0.5)
    seen(curriculum, 0.0, 0.0)
    seen(curriculum, 1.0, 0.0)
    assert curriculum.rates == {"easy": 0.5, "hard": 0.0}
    curriculum.see([Tried(99, 1.0)])  # a domain that did not come keeps its rate
    assert curriculum.rates == {"easy": 0.5, "hard": 0.5}


def test_dads_neither_forgets_nor_drowns_a_domain():
    curriculum = dads(TWO, 0, tau=0.05, eps=0.0)
    seen(curriculum, 1.0, 0.0)
    assert domains(curriculum.choose(16)) == {"easy": 1, "hard": 15}
    assert seen(dads(TWO, 0, tau=0.05, most=0.7), 1.0, 0.0) == pytest.approx({"easy": 0.3, "hard": 0.7})


def test_dads_counts_what_lies_above_guessing():
    guessed = seen(dads(TWO, 0, chance={"easy": 0.5}), 0.5, 0.0)
    assert guessed == pytest.approx({"easy": 0.5, "hard": 0.5})


def test_difficulty_prefers_prompts_that_are_solved_half_of_the_time():
    curriculum = difficulty(TWO, 0, fresh=0.5, floor=0.001)
    curriculum.see([Tried(i, 0.5 if i < 10 else i % 2) for i in range(100)])
    drawn = Counter(i < 10 for _ in range(50) for i in curriculum.choose(8)[-4:])
    assert drawn[True] > 4 * drawn[False]


def test_hard_prompts_come_back_until_they_are_solved_or_given_up():
    curriculum = hard_replay(TWO, 0, share=0.5, patience=2)
    curriculum.see([Tried(7, 0.25), Tried(8, 0.0), Tried(9, 1.0)])
    assert curriculum.choose(4)[-2:] == [7, 8]
    curriculum.see([Tried(7, 1.0), Tried(8, 0.0)])
    assert curriculum.choose(4)[-1] == 8
    curriculum.see([Tried(8, 0.0)])  # the third time that all failed
    assert 8 not in curriculum.waiting and 7 not in curriculum.waiting


@pytest.mark.parametrize("make", [dads, lambda e, s: mixture(e, s, shares={"small": 9, "large": 1})])
def test_a_domain_that_is_too_small_leaves_its_share_to_the_others(make):
    examples = [Example(str(n), "?", "1", metadata={"domain": "small" if n < 3 else "large"}) for n in range(103)]
    curriculum = make(examples, 0)
    curriculum.see([Tried(0, 0.0), Tried(99, 1.0)])
    for _ in range(20):
        chosen = curriculum.choose(10)
        assert len(set(chosen)) == 10 and sum(i < 3 for i in chosen) == 3


def test_of_few_prompts_all_come():
    examples = [Example(str(n), "?", "1", metadata={"domain": n % 2}) for n in range(6)]
    assert sorted(mixture(examples, 0).choose(10)) == list(range(6))
