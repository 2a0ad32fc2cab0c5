"""Facts and rules under which what cannot be derived is false, solved by forward chaining.

Source: arXiv:2012.13048, its closed-world part; the generator is ours.
"""

from itertools import pairwise
from random import Random

from whit.tasks._rules._puzzle import Puzzle

NAMES = ("Anne", "Bob", "Charlie", "Dave", "Erin", "Fiona", "Gary", "Harry")
ADJECTIVES = (
    "big", "blue", "brave", "calm", "cold", "furry", "green", "kind", "loud", "neat", "nice", "proud", "quiet", "red",
    "rough", "round", "shy", "slow", "smart", "soft", "tall", "warm", "white", "young",
)  # fmt: skip
Rule = tuple[tuple[str, ...], str]


def closed_world(rng: Random, hops: int) -> Puzzle:
    """Whether somebody is something: half the questions need `hops` rules in a row, half have no derivation.

    Two people each have the beginning of a chain of rules. One of them is asked for, about the end of the own chain or of
    the other's: nothing but following the rules tells which.
    """
    facts, rules, ends = _world(rng, hops)
    derived = chained(facts, rules)
    is_true, name = rng.random() < 0.5, rng.choice(sorted(ends))
    end = ends[name] if is_true else next(end for other, end in ends.items() if other != name)
    return _written(rng, facts, rules, derived, (name, end), is_true)


def chained(facts: dict[str, set[str]], rules: list[Rule]) -> dict[tuple[str, str], tuple[int, Rule | None]]:
    """Everything that holds: (name, adjective) with the fewest rules in a row that it needs, and the last of them."""
    known: dict[tuple[str, str], tuple[int, Rule | None]] = {(n, a): (0, None) for n in facts for a in facts[n]}
    depth = 0
    while True:
        depth += 1
        new = {
            (name, rule[1]): (depth, rule)
            for name in sorted(facts)
            for rule in rules
            if (name, rule[1]) not in known and all((name, condition) in known for condition in rule[0])
        }
        if not new:
            return known
        known |= new


def _world(rng: Random, hops: int) -> tuple[dict[str, set[str]], list[Rule], dict[str, str]]:
    """Facts, rules, and the ends of the chains of the two people who have one."""
    adjectives = rng.sample(ADJECTIVES, len(ADJECTIVES))
    chains, rest = (adjectives[: hops + 1], adjectives[hops + 1 : 2 * hops + 2]), adjectives[2 * hops + 2 :]
    names = rng.sample(NAMES, 3)
    facts = {name: set(rng.sample(rest, 2)) for name in names}
    rules: list[Rule] = []
    for name, chain in zip(names, chains, strict=False):
        own = sorted(facts[name])
        for one, other in pairwise(chain):
            beside = rng.sample(own, rng.randint(0, 1))
            rules.append((tuple(rng.sample([one, *beside], 1 + len(beside))), other))
        facts[name].add(chain[0])
    facts[names[2]].add(rng.choice(sorted(set(rest) - facts[names[2]])))
    for _ in range(2):
        *conditions, head = rng.sample(rest, rng.randint(2, 3))
        rules.append((tuple(conditions), head))
    ends = {name: chain[-1] for name, chain in zip(names, chains, strict=False)}
    return facts, rng.sample(rules, len(rules)), ends


def _written(
    rng: Random,
    facts: dict[str, set[str]],
    rules: list[Rule],
    derived: dict[tuple[str, str], tuple[int, Rule | None]],
    asked: tuple[str, str],
    is_true: bool,
) -> Puzzle:
    known = [f"{name} is {adjective}." for name in facts for adjective in sorted(facts[name])]
    rng.shuffle(known)
    says = rng.random() < 0.7
    text = (
        f"{' '.join(known)} {' '.join(map(_rule, rules))} What cannot be derived from this is false. "
        f"Is this statement true or false? {asked[0]} is {'' if says else 'not '}{asked[1]}."
    )
    reasons = _proof(asked, derived) if is_true else [f"No facts and rules give that {asked[0]} is {asked[1]}."]
    order = {name: str(place) for place, name in enumerate(facts)}
    key = f"{sorted(known)} {sorted(rules)} {asked}"
    for name, place in order.items():
        key = key.replace(name, place)
    return Puzzle(text, "True" if says == is_true else "False", ("True", "False"), "\n".join(reasons), key)


def _proof(fact: tuple[str, str], derived: dict[tuple[str, str], tuple[int, Rule | None]]) -> list[str]:
    _, rule = derived[fact]
    if rule is None:
        return []
    before = [line for condition in rule[0] for line in _proof((fact[0], condition), derived)]
    given = " and ".join(rule[0])
    return list(dict.fromkeys([*before, f"{fact[0]} is {given}. {_rule(rule)} So {fact[0]} is {fact[1]}."]))


def _rule(rule: Rule) -> str:
    return f"If someone is {' and '.join(rule[0])} then they are {rule[1]}."
