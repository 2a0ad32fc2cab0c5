"""Rules: every answer is found again from the words alone, by a solver that knows nothing of the generator."""

import re
from itertools import permutations

import pytest

from whit.core.errors import UsageError
from whit.core.types import Example
from whit.tasks._rules.kinship import COMPOSED, WORDS
from whit.tasks.rules import DOMAINS, rules

PLACES = ["first", "second", "third", "fourth", "fifth", "sixth", "seventh"]
RELATION = {word: relation for relation, words in WORDS.items() for word in words}


def story(example: Example) -> str:
    return example.prompt.partition("\n(A)")[0]


def option(example: Example) -> str:
    return re.search(rf"^\({example.gold}\) (.*)$", example.prompt, re.MULTILINE)[1]


def solve_kinship(text: str) -> str:
    facts = {one: (other, word) for other, one, word in re.findall(r"(\w+) is (\w+)'s ([\w-]+)\.", text)}
    last, first = re.search(r"What is (\w+) to (\w+)\?", text).groups()
    person, relation = facts[first][0], RELATION[facts[first][1]]
    while person != last:
        person, word = facts[person]
        relation = COMPOSED[relation, RELATION[word]]
    said = next(word for other, word in facts.values() if other == last)
    return WORDS[relation][WORDS[RELATION[said]].index(said)]


def solve_ontology(text: str) -> str:
    known = {re.search(r"(\w+) is an? (\w+)\. Is this", text)[2]}
    rule = re.findall(r"Every (\w+) is (not )?(?:an? )?(\w+)\.", text)
    while more := {then for kind, no, then in rule if kind in known and not no} - known:
        known |= more
    denied = {then for kind, no, then in rule if kind in known and no}
    no, asked = re.search(r"false\? \w+ is (not )?(\w+)\.$", text).groups()
    assert (asked in known) != (asked in denied)
    return str((asked in known) != bool(no))


def solve_closed_world(text: str) -> str:
    known = set(re.findall(r"([A-Z][a-z]+) is (\w+)\. ", text.partition(" What cannot")[0] + " "))
    rule = re.findall(r"If someone is ([\w ]+?) then they are (\w+)\.", text)
    people = {name for name, _ in known}
    while (
        more := {
            (name, head) for name in people for body, head in rule if {(name, c) for c in body.split(" and ")} <= known
        }
        - known
    ):
        known |= more
    name, no, asked = re.search(r"false\? (\w+) is (not )?(\w+)\.$", text).groups()
    return str(((name, asked) in known) != bool(no))


def solve_ordering(text: str) -> str:
    names = re.findall(r"\w+", text.partition(" ran a race")[0].replace(" and ", " "))

    def fits(order: tuple[str, ...]) -> bool:
        place = {name: n for n, name in enumerate(order)}
        return (
            all(place[a] < place[b] for a, b in re.findall(r"(\w+) came in before (\w+)\.", text))
            and all(place[a] > place[b] for a, b in re.findall(r"(\w+) came in after (\w+)\.", text))
            and all(place[a] == place[b] + 1 for a, b in re.findall(r"(\w+) came in right behind (\w+)\.", text))
            and all(place[a] != PLACES.index(p) for a, p in re.findall(r"(\w+) did not come in (\w+)\.", text))
            and all(place[a] == PLACES.index(p) for a, p in re.findall(rf"(\w+) came in ({'|'.join(PLACES)})\.", text))
        )

    (order,) = filter(fits, permutations(names))
    return order[PLACES.index(re.search(r"Who came in (\w+)\?", text)[1])]


SOLVERS = {
    "kinship": solve_kinship,
    "ontology": solve_ontology,
    "closed_world": solve_closed_world,
    "ordering": solve_ordering,
}


@pytest.mark.parametrize("domain", DOMAINS)
@pytest.mark.parametrize("split", ["train", "test", "ood"])
def test_an_independent_solver_finds_the_gold_answer(domain, split):
    for example in rules(
        split, domains=(domain,), hops=(1, 3), size=20 if (domain, split) == ("ordering", "ood") else 120
    ):
        assert SOLVERS[domain](story(example)) == option(example), example.prompt


@pytest.mark.parametrize("domain", DOMAINS)
def test_the_gold_letter_is_spread_evenly(domain):
    golds = [example.gold for example in rules("train", domains=(domain,), hops=(3, 3), size=400)]
    labels = sorted(set(golds))
    assert all(golds.count(label) > 0.7 * len(golds) / len(labels) for label in labels)


@pytest.mark.parametrize("domain", ["ontology", "closed_world"])
def test_true_and_false_come_equally_often(domain):
    answers = [option(example) for example in rules("train", domains=(domain,), size=400)]
    assert 0.4 < answers.count("True") / len(answers) < 0.6


def test_hops_are_what_is_asked_for_and_ood_has_more():
    assert {e.metadata["hops"] for e in rules("train", hops=(2, 3), size=200)} == {2, 3}
    assert {e.metadata["hops"] for e in rules("ood", hops=(2, 3), size=200)} == {4, 5}
    assert {e.metadata["domain"] for e in rules("dev", size=100)} == set(DOMAINS)


def test_a_kinship_chain_has_as_many_steps_as_hops():
    for example in rules("train", domains=("kinship",), hops=(4, 4), size=50):
        assert len(re.findall(r"\w+ is \w+'s [\w-]+\.", story(example))) == 4


def test_more_hops_than_there_are_is_an_error():
    with pytest.raises(UsageError, match="Hops go from 1 to 6"):
        next(rules("ood", hops=(1, 7)))


def facts_of(text: str) -> dict[str, int]:
    """How many facts are told of each person."""
    names = re.findall(r"([A-Z][a-z]+) is \w+\.", text.partition(" If someone")[0])
    return {name: names.count(name) for name in names}


@pytest.mark.parametrize("hops", [1, 3, 6])
def test_who_is_asked_for_does_not_tell_whether_it_holds(hops):
    """Everybody has as many facts, and each of two people is asked for as often in true as in false questions."""
    examples = list(rules("train", domains=("closed_world",), hops=(hops, hops), size=600))
    assert all(set(facts_of(story(e)).values()) == {3} for e in examples)
    assert 0.45 < sum(e.gold == "A" for e in examples) / 600 < 0.55


@pytest.mark.parametrize("hops", [2, 4, 6])
def test_how_often_a_kind_is_named_does_not_tell_which_rule_holds(hops):
    """Of the two rules about the property that is asked for, neither is about a kind that stands nowhere else."""
    for example in rules("train", domains=("ontology",), hops=(hops, hops), size=200):
        text = story(example)
        asked = re.search(r"false\? \w+ is (?:not )?(\w+)\.$", text)[1]
        kinds = re.findall(rf"Every (\w+) is (?:not )?{asked}\.", text)
        assert len(kinds) == 2 and all(len(re.findall(rf"\b{kind}\b", text)) >= 2 for kind in kinds)
