"""Kinds of kinds with properties, one chain of modus ponens among distractors.  Source: arXiv:2210.01240; ours anew."""

from itertools import pairwise
from random import Random

from whit.tasks._rules._puzzle import Puzzle

KINDS = (
    "wumpus", "yumpus", "zumpus", "dumpus", "rompus", "numpus", "tumpus", "vumpus", "impus", "jompus", "gorpus", "shumpus",
    "lempus", "sterpus", "grimpus", "lorpus", "brimpus", "timpus", "yimpus", "rempus", "fompus", "worpus",
)  # fmt: skip
NAMES = ("Alex", "Fae", "Max", "Polly", "Rex", "Sally", "Sam", "Stella", "Wren")
PROPERTIES = ("sour", "red", "small", "opaque", "happy", "shy", "bright", "wooden", "earthy", "loud", "cold", "floral")


def ontology(rng: Random, hops: int) -> Puzzle:
    """Whether somebody has a property, `hops` rules away; a chain as long from elsewhere leads to the contrary."""
    kinds = rng.sample(KINDS, 3 * hops)
    chain, decoy, others = kinds[:hops], kinds[hops : 2 * hops], kinds[2 * hops :]
    (asked, *more), has_it = rng.sample(PROPERTIES, 1 + hops), rng.random() < 0.5
    name = rng.choice(NAMES)
    steps = [_rule(one, _a(other)) for one, other in pairwise(chain)]
    steps.append(_rule(chain[-1], asked if has_it else f"not {asked}"))
    elsewhere = [_rule(one, _a(other)) for one, other in pairwise(decoy)]
    elsewhere.append(_rule(decoy[-1], f"not {asked}" if has_it else asked))
    elsewhere += [_rule(rng.choice([*chain, *decoy]), _a(other)) for other in others]
    elsewhere += [_rule(rng.choice(others), thing) for thing in more[1:]]
    rules = [*steps, *elsewhere]
    rng.shuffle(rules)
    says = rng.random() < 0.5
    statement = f"{name} is {'' if says else 'not '}{asked}."
    known = [f"{name} is {_a(kind)}." for kind in chain]
    reasons = [f"{fact} {rule}" for fact, rule in zip(known, steps, strict=True)]
    reasons.append(f"{name} is {'' if has_it else 'not '}{asked}.")
    answer = "True" if says == has_it else "False"
    text = f"{' '.join(rules)} {known[0]} Is this statement true or false? {statement}"
    key = f"{' '.join(chain)} {asked} {has_it}"
    return Puzzle(text, answer, ("True", "False"), "\n".join(reasons), key)


def _rule(kind: str, then: str) -> str:
    return f"Every {kind} is {then}."


def _a(kind: str) -> str:
    return f"{'an' if kind[0] in 'aeiou' else 'a'} {kind}"
