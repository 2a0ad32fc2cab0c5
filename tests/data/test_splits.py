"""Splits: nothing of a group or a near-duplicate crosses them, and adding rows moves nothing."""

from itertools import combinations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from whit.core.errors import DataError, UsageError
from whit.core.similar import TOKEN, near_duplicates
from whit.core.types import Example
from whit.data.splits import split_examples

STORY = (
    "Every morning before school {name} walks to the old market on the hill and buys {number} fresh eggs for the whole "
    "family, who then bake bread with them and share it with all of the neighbours in the street, because nobody there "
    "has a stove that is hot enough for a loaf of this size. How many eggs are left in the basket?"
)


def examples(prompts, groups=None):
    groups = groups or [""] * len(prompts)
    return [Example(f"e{n}", prompt, "1", group=group) for n, (prompt, group) in enumerate(zip(prompts, groups))]


def home_of(splits):
    return {example.id: split for split, rows in splits.examples.items() for example in rows}


NUMBERED = [f"What is {n} + {n * n}?" for n in range(1000)]


def test_every_example_stands_in_one_of_three_splits_of_about_the_asked_size():
    splits = split_examples(examples(NUMBERED))
    sizes = {split: len(rows) for split, rows in splits.examples.items()}
    assert sum(sizes.values()) == 1000
    assert 160 < sizes["test"] < 240
    assert 70 < sizes["dev"] < 130


def test_added_rows_move_nothing():
    before = home_of(split_examples(examples(NUMBERED[:900])))
    after = home_of(split_examples(examples(NUMBERED)))
    assert before.items() <= after.items()


def test_the_seed_draws_other_splits():
    assert home_of(split_examples(examples(NUMBERED), seed=1)) != home_of(split_examples(examples(NUMBERED), seed=2))


def test_a_group_is_never_cut():
    groups = [f"template {n % 10}" for n in range(200)]
    splits = split_examples(examples(NUMBERED[:200], groups))
    for one, other in combinations(splits.examples.values(), 2):
        assert not {e.group for e in one} & {e.group for e in other}


def test_near_duplicates_stand_in_one_split():
    prompts = [prompt for n in range(100) for prompt in (f"Tom has {n} pens.", f"tom has  {n} pens!")]
    home = home_of(split_examples(examples(prompts)))
    assert all(home[f"e{2 * n}"] == home[f"e{2 * n + 1}"] for n in range(100))


def test_a_group_and_a_near_duplicate_join_transitively():
    prompts = [*NUMBERED[:50], "The same words.", "the same words", "Other words here."]
    home = home_of(split_examples(examples(prompts, [""] * 51 + ["g", "g"])))
    assert home["e50"] == home["e51"] == home["e52"]


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Tom has 3 pens.", "tom  has 3 pens!"),
        (STORY.format(name="Ann", number=12), STORY.format(name="Bob", number=12)),
        ("?!", "?!"),
    ],
)
def test_the_same_problem_in_almost_the_same_words(one, other):
    assert list(near_duplicates([one, "Something else.", other])) == [(0, 2)]


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("What is 17 + 5?", "What is 17 + 6?"),
        ("What is 17 + 5?", "What is 17 - 5?"),
        ("What is 1.5 + 2?", "What is 15 + 2?"),
        (STORY.format(name="Ann", number=12), STORY.format(name="Ann", number=13)),
        ("Tom has some red pens.", "Tom has some blue pens."),
        ("?!", "!?"),
    ],
)
def test_another_number_operator_or_word_makes_another_problem(one, other):
    assert list(near_duplicates([one, other])) == []


@given(st.lists(st.lists(st.sampled_from("abc"), min_size=18, max_size=26), max_size=12), st.data())
def test_near_duplicates_are_exactly_the_pairs_that_comparing_all_would_find(texts, data):
    for words in list(texts):  # a neighbour of each, so that there are pairs near the threshold
        end = data.draw(st.integers(0, 3))
        texts.append([*words[: len(words) - end], *data.draw(st.lists(st.sampled_from("abcd"), max_size=2))])

    def grams(words):
        return {tuple(words[i : i + 3]) for i in range(len(words) - 2)}

    def similar(one, other):
        return one == other or 10 * len(grams(one) & grams(other)) >= 9 * len(grams(one) | grams(other))

    found = set(near_duplicates([" ".join(words) for words in texts]))
    first = {}  # of equal texts, only the first is compared with others
    for index, words in enumerate(texts):
        first.setdefault(tuple(words), index)
    expected = {(i, j) for i, j in combinations(sorted(first.values()), 2) if similar(texts[i], texts[j])}
    expected |= {(first[tuple(words)], n) for n, words in enumerate(texts) if first[tuple(words)] != n}
    assert found == expected


def test_operators_are_tokens_and_hyphens_are_not():
    assert TOKEN.findall("well-known: 3-4 = -1, a*b") == ["well", "known", "3", "-", "4", "=", "-", "1", "a", "*", "b"]


def test_a_given_split_is_respected_and_a_missing_one_is_carved_from_train():
    rows = examples(NUMBERED)
    given_splits = {example.id: "test" if n < 100 else "train" for n, example in enumerate(rows)}
    splits = split_examples(rows, given_splits)
    assert {e.id for e in splits.examples["test"]} == {f"e{n}" for n in range(100)}
    assert 50 < len(splits.examples["dev"]) < 130
    assert "no dev split: carved from its train" in " ".join(splits.notes)


def leaky():
    rows = examples([*NUMBERED[:20], "A pen?", "a pen!", "a PEN"])
    homes = {example.id: "train" for example in rows} | {"e0": "dev", "e1": "test", "e20": "dev", "e21": "test"}
    return rows, homes


def test_a_duplicate_across_given_splits_is_an_error_that_names_the_rows():
    with pytest.raises(DataError, match=r"example e20 \(dev\) and example e21 \(test\): 'A pen\?'.*on_duplicates"):
        split_examples(*leaky())


def test_dropping_duplicates_keeps_test_and_counts_the_rest():
    splits = split_examples(*leaky(), on_duplicates="drop")
    assert (home_of(splits)["e21"], splits.num_dropped) == ("test", 2)
    assert {"e20", "e22"}.isdisjoint(home_of(splits))
    assert "2 examples dropped" in splits.notes[-1]


@pytest.mark.parametrize("count", range(3, 12))
def test_a_small_file_still_fills_all_three_splits(count):
    for seed in range(5):
        assert all(split_examples(examples(NUMBERED[:count]), seed=seed).examples.values())


def test_too_few_independent_groups_are_refused():
    with pytest.raises(
        DataError, match="4 examples form 2 independent groups, but 3 are needed to fill train and test"
    ):
        split_examples(examples(NUMBERED[:4], ["a", "a", "b", "b"]))


@pytest.mark.parametrize(("dev_frac", "test_frac"), [(0, 0.2), (0.5, 0.5), (0.1, -1)])
def test_shares_must_leave_something_for_train(dev_frac, test_frac):
    with pytest.raises(UsageError, match="both must be above 0, their sum below 1"):
        split_examples(examples(NUMBERED), dev_frac=dev_frac, test_frac=test_frac)
