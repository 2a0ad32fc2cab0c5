"""What chooses prompts: asked for some before every step, told how they went after it, saved with the stage."""

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from whit.core.seeds import stream
from whit.core.types import Example


@dataclass(frozen=True, slots=True)
class Tried:
    """How a prompt went: its place among the examples, and the share that was right of its completions that were judged."""

    index: int
    pass_rate: float


class Curriculum:
    """Every prompt once an epoch, each epoch in its own order; the others change what `choose` and `see` do.

    name: of its state in a checkpoint. note: what is worth a warning before the first step; "" for nothing.
    """

    name = "curriculum"
    note = ""

    def __init__(self, examples: Sequence[Example], seed: int):
        self.examples, self.seed = examples, seed
        self._taken: dict[str, int] = {}
        self._owed: dict[str, float] = {}
        self._orders: dict[str, tuple[int, list[int]]] = {}

    def choose(self, count: int) -> list[int]:
        """Places of the prompts of a step, each once: fewer than `count` only if there are not so many."""
        return self.next_of("", range(len(self.examples)), count)

    def see(self, tried: Sequence[Tried]) -> None:
        """Told of every prompt that was sampled and judged, whether it is trained on or not."""

    def next_of(self, pool: str, members: Sequence[int], count: int, avoid: Collection[int] = frozenset()) -> list[int]:
        """The next members of a pool that are not to be avoided, in an order of each epoch's own; each once.

        The pool may grow or shrink between two calls; its members have to come in one order.
        """
        chosen: dict[int, None] = {}
        left = set(members).difference(avoid)
        position = self._taken.get(pool, 0)
        while left and len(chosen) < count:
            epoch, place = divmod(position, len(members))
            index = members[self._order(pool, epoch, len(members))[place]]
            position += 1
            if index in left:
                left.remove(index)
                chosen[index] = None
        self._taken[pool] = position
        return list(chosen)

    def counts_of(self, weights: Mapping[str, float], count: int, pools: Mapping[str, Sequence[int]]) -> dict[str, int]:
        """Whole numbers that sum to `count`, by weight; what rounding takes from one, it gets at another step.

        None is larger than its pool: what a small one cannot give, the others do, as far as they go.
        """
        total = sum(weights.values())
        exact = {name: self._owed.get(name, 0.0) + count * weight / total for name, weight in weights.items()}
        counts = {name: max(0, math.floor(value)) for name, value in exact.items()}
        while (left := count - sum(counts.values())) != 0:
            order = sorted(exact, key=lambda name: counts[name] - exact[name], reverse=left < 0)
            for name in [n for n in order if left > 0 or counts[n] > 0][: abs(left)]:
                counts[name] += 1 if left > 0 else -1
        over = sum(max(0, own - len(pools[name])) for name, own in counts.items())
        counts = {name: min(own, len(pools[name])) for name, own in counts.items()}
        for _ in range(over):
            if not (free := [name for name in counts if counts[name] < len(pools[name])]):
                break
            counts[max(free, key=lambda name: exact[name] - counts[name])] += 1
        self._owed = {name: max(-1.0, min(1.0, exact[name] - counts[name])) for name in exact}
        return counts

    def numbers(self) -> dict[str, float]:
        """What is shown beside the loss."""
        return {}

    def observe(self, line: Mapping[str, float]) -> None:
        """A step's record; `see` says more."""

    def state(self) -> dict[str, Any]:
        return {"taken": self._taken, "owed": self._owed}

    def restore(self, state: Mapping[str, Any]) -> None:
        self._taken, self._owed = dict(state["taken"]), dict(state["owed"])

    def _order(self, pool: str, epoch: int, size: int) -> list[int]:
        held = self._orders.get(pool)
        if held is None or held[0] != epoch or len(held[1]) != size:  # a pool may grow
            order = list(range(size))
            stream(self.seed, "rl-order" + (f"/{pool}" if pool else ""), epoch).shuffle(order)
            held = self._orders[pool] = (epoch, order)
        return held[1]


def domains_of(examples: Sequence[Example]) -> dict[str, list[int]]:
    """The places of the examples of each domain: their metadata's `domain`, which a column of a file of that name gives.

    "all" stands for the examples that have none.
    """
    found: dict[str, list[int]] = {}
    for index, example in enumerate(examples):
        found.setdefault(str(example.metadata.get("domain", "all")), []).append(index)
    return found


def note_on(members: Mapping[str, Sequence[int]], name: str) -> str:
    """What is to be said of a curriculum over so many domains."""
    if len(members) > 1:
        return ""
    return (
        f"curriculum {name}: all examples are of one domain, so it chooses as epochs do. A domain is what the column "
        "`domain` of a file holds, or what a task such as rules or mixed calls so in its metadata."
    )
