"""The embedded task: answers agree with an independent solver, rationales are true, splits are disjoint by computation."""

import re

import pytest

from whit.core.errors import DataError
from whit.core.types import Split
from whit.tasks.word_problems import HARDER_BY, split_of, word_problems

FACT = re.compile(
    r"(?P<who>\w+) has (?:(?P<n>\d+) (?P<sign>more|fewer) \w+ than (?P<than>\w+)"
    r"|(?P<times>twice|three times) as many \w+ as (?P<of>\w+)"
    r"|as many \w+ as (?P<a>\w+) and (?P<b>\w+) together"
    r"|(?P<given>\d+) \w+)\."
)
SPLITS: tuple[Split, ...] = ("train", "dev", "test", "ood")


def owners(text: str) -> dict[str, int]:
    """How many everybody has, from the words alone."""
    owned: dict[str, int] = {}
    for fact in FACT.finditer(text):
        part = fact.groupdict()
        if part["given"]:
            value = int(part["given"])
        elif part["sign"]:
            value = owned[part["than"]] + int(part["n"]) * (1 if part["sign"] == "more" else -1)
        elif part["times"]:
            value = owned[part["of"]] * {"twice": 2, "three times": 3}[part["times"]]
        else:
            value = owned[part["a"]] + owned[part["b"]]
        owned[part["who"]] = value
    return owned


def solve(text: str) -> int:
    """The answer, from the words alone."""
    owned = owners(text)
    asked = re.search(r"How many \w+ (?:does (\w+) have|do (\w+) and (\w+) have together)\?$", text)
    assert asked is not None
    return sum(owned[name] for name in asked.groups() if name)


@pytest.mark.parametrize("split", SPLITS)
def test_the_gold_answer_is_what_an_independent_solver_finds(split: Split) -> None:
    for example in word_problems(split, size=300):
        assert int(example.gold) == solve(example.prompt), example.prompt


def test_every_equation_of_a_rationale_is_true_and_the_last_one_is_the_answer() -> None:
    for example in word_problems("train", size=300):
        assert example.rationale is not None
        equations = re.findall(r"(\d+) ([+*-]) (?:\w+ )?(\d+) = (?:\w+ )?(\d+)\.", example.rationale)
        assert len(equations) == example.metadata["operations"]
        for left, sign, right, result in equations:
            a, b = int(left), int(right)
            assert {"+": a + b, "-": a - b, "*": a * b}[sign] == int(result)
        assert re.findall(r"\d+", example.rationale)[-1] == example.gold


def test_every_number_of_a_rationale_that_has_an_owner_is_what_the_owner_has() -> None:
    for example in word_problems("train", size=300):
        owned = owners(example.prompt)
        for name, number in re.findall(r"([A-Z]\w+) (\d+)", example.rationale or ""):
            assert owned[name] == int(number)


def test_the_number_of_equations_is_the_difficulty() -> None:
    for example in word_problems("train", operations=(2, 3), size=100):
        assert (example.rationale or "").count("=") == example.metadata["operations"]
        assert example.metadata["operations"] in (2, 3)


def test_a_computation_belongs_to_one_split_by_its_hash() -> None:
    for split in SPLITS[:3]:
        assert all(split_of(example.group) == split for example in word_problems(split, size=200))


def test_the_harder_split_starts_above_the_others() -> None:
    asked = [example.metadata["operations"] for example in word_problems("ood", operations=(2, 3), size=50)]
    assert min(asked) >= 4
    assert max(asked) <= 3 + HARDER_BY


def test_the_same_seed_gives_the_same_problems_and_another_seed_gives_others() -> None:
    first = [example.id for example in word_problems("train", size=50)]
    assert first == [example.id for example in word_problems("train", size=50)]
    assert set(first) != {example.id for example in word_problems("train", size=50, seed=1)}


def test_a_dial_with_too_few_problems_is_an_error_and_not_an_endless_search() -> None:
    with pytest.raises(DataError, match=r"only .* different test problems of 0 to 0 operations"):
        list(word_problems("test", operations=(0, 0), size=5000))
