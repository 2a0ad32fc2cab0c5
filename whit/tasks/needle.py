"""A fact hidden in a long text, or several that have to be put together.  Source: arXiv:2407.11963.

One needle is the test of Kamradt 2023. Texts and questions are our own.
"""

from collections.abc import Iterator
from functools import partial
from itertools import pairwise
from random import Random

from whit.core.errors import UsageError
from whit.core.types import Example, Split
from whit.tasks._depths import check_depths, check_range, chosen_place, depth_of
from whit.tasks._generated import generated

NAMES = (
    "Ada", "Ben", "Cora", "Dan", "Eva", "Finn", "Gia", "Hugo", "Ida", "Jon", "Kim", "Leo", "Mia", "Ned", "Ola", "Pia",
    "Ron", "Sue", "Tom", "Uma", "Vera", "Will", "Yan", "Zoe",
)  # fmt: skip
WHO = (
    "The baker",
    "A neighbour",
    "The teacher",
    "An old sailor",
    "The gardener",
    "A traveller",
    "The clerk",
    "A painter",
)
DID = ("walked to", "wrote a letter about", "remembered", "spoke of", "dreamt of", "asked about", "left", "returned to")
WHAT = (
    "the harbour",
    "the long bridge",
    "the market",
    "the river",
    "the old mill",
    "the library",
    "the hills",
    "the sea",
)
WHEN = (
    "in the morning",
    "after the rain",
    "before dinner",
    "in late summer",
    "on a quiet evening",
    "as the bells rang",
)
SIZES: dict[Split, int] = {"train": 20_000, "dev": 500, "test": 1000, "ood": 500}
MAX_NEEDLES = 6


def needle(
    split: Split,
    *,
    sentences: tuple[int, int] = (10, 40),
    needles: int = 1,
    decoys: int = 0,
    depths: tuple[float, ...] = (),
    size: int | None = None,
    seed: int = 0,
) -> Iterator[Example]:
    """How many coins somebody's box holds, told in one of many sentences about other things.

    sentences: the fewest and the most of them; "ood" has from one more than the most to twice as many.
    needles: with two and more, each box after the first holds so many more than the one before, and the last is asked for:
        as many facts as needles, in any order.
    decoys: boxes of other people, with coins of their own.
    depths: where the fact stands, or with several the first of them, from 0 to 1; anywhere where none is given.
    The metadata has `sentences` and `depth`, in tenths, of the sentence that names the box that is asked for.
    """
    check_range("needle", "sentences", sentences, needles + decoys + 1)
    check_depths("needle", depths)
    if not (1 <= needles <= MAX_NEEDLES and 0 <= decoys <= len(NAMES) - needles):
        raise UsageError(
            f"needle: needles={needles}, decoys={decoys}. Give between 1 and {MAX_NEEDLES} needles, and decoys for at most "
            f"{len(NAMES)} people in all."
        )
    low, high = sentences if split != "ood" else (sentences[1] + 1, 2 * sentences[1])
    wanted = SIZES[split] if size is None else size
    yield from generated(
        "needle", split, partial(_draw, low, high, needles, decoys, depths, split), size=wanted, seed=seed
    )


def _draw(
    low: int, high: int, needles: int, decoys: int, depths: tuple[float, ...], split: Split, rng: Random
) -> Example:
    count = rng.randint(low, high)
    hay = [_sentence(rng) for _ in range(count - needles - decoys)]
    people, total = rng.sample(NAMES, needles + decoys), rng.randint(11, 99)
    people, others = people[:needles], people[needles:]
    facts, steps = [f"The box of {people[0]} holds {total} coins."], [str(total)]
    for before, name in pairwise(people):
        more = rng.randint(2, 20)
        facts.append(f"The box of {name} holds {more} coins more than the box of {before}.")
        steps.append(f"{total} + {more} = {total + more}")
        total += more
    first = chosen_place(rng, count, depths)
    places = [first, *rng.sample([p for p in range(count) if p != first], needles + decoys - 1)]
    beside = [f"The box of {name} holds {rng.randint(11, 99)} coins." for name in others]
    lines = iter(hay)
    by_place = dict(zip(places, [*facts, *beside], strict=True))
    text = " ".join(by_place[place] if place in by_place else next(lines) for place in range(count))
    group = " ".join(facts) + (" (ood)" if split == "ood" else "")
    return Example(
        id="", prompt=f"{text}\nHow many coins does the box of {people[-1]} hold?", gold=str(total),
        rationale=". ".join(steps) + "." if needles > 1 else None, group=group,
        metadata={"sentences": count, "depth": depth_of(places[needles - 1], count)},
    )  # fmt: skip


def _sentence(rng: Random) -> str:
    return f"{rng.choice(WHO)} {rng.choice(DID)} {rng.choice(WHAT)} {rng.choice(WHEN)}."
