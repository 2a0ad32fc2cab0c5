"""Prompts that are almost the same, found exactly and not by sampling: about 10 seconds for 100,000 prompts of 50 words."""

import re
from array import array
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from functools import reduce
from operator import or_

# Case and punctuation are dropped; digits and operators are kept, or '3 + 4' and '3 - 4' would be one problem.
TOKEN = re.compile(r"\d+(?:[.,]\d+)*|[^\W\d_]+|[+*/=<>^%&|~×÷−]|(?<![^\W\d_])-|-(?![^\W\d_])")


def near_duplicates(prompts: Sequence[str]) -> Iterator[tuple[int, int]]:
    """Pairs (i, j), i < j, that connect all prompts which are the same problem in almost the same words.

    Two prompts are near-duplicates when their tokens are equal, or when they hold the same numbers in the same order
    and at least 9 of 10 of their three-token sequences are common to both (Jaccard). Other numbers make another
    problem, however long the text around them; templates that must stay together need a `group`.
    """
    first: dict[tuple[str, ...], int] = {}
    for index, prompt in enumerate(prompts):
        tokens = tuple(TOKEN.findall(prompt.lower())) or (prompt,)
        same = first.setdefault(tokens, index)
        if same != index:
            yield same, index
    grams = {index: array("q", _grams(tokens)) for tokens, index in first.items()}
    counts = [0] * 2**20  # a gram's count is shared with others: which are rare need not be known exactly
    for own in grams.values():
        for gram in own:
            counts[gram % len(counts)] += 1
    # Sets of n and m >= n grams with a Jaccard index of 9/10 differ in at most (n + m) / 19 grams. So they share one of
    # the n // 19 + 1 rarest of the smaller and of the m // 10 + 1 rarest of the larger set (prefix filtering, Xiao et
    # al. 2008), and sketches of one bit a gram differ in no more than (n + m) / 19 bits.
    sketches: dict[int, int] = {}
    holders: defaultdict[int, list[int]] = defaultdict(list)
    for index in sorted(grams, key=lambda index: len(grams[index])):
        own = grams[index]
        sketch = sketches[index] = reduce(or_, (1 << gram % 128 for gram in own))
        rarest = sorted(own, key=lambda gram: (counts[gram % len(counts)], gram))[: len(own) // 10 + 1]
        for other in {holder for gram in rarest for holder in holders.get(gram, ())}:
            both = len(own) + len(grams[other])
            if 19 * (sketch ^ sketches[other]).bit_count() > both:
                continue
            if 19 * len(set(own).intersection(grams[other])) >= 9 * both:
                yield min(index, other), max(index, other)
        for gram in rarest[: len(own) // 19 + 1]:
            holders[gram].append(index)


def _grams(tokens: tuple[str, ...]) -> set[int]:
    """Hashes of the three-token sequences; the numbers of the prompt are part of each, so that they must agree."""
    numbers = tuple(token for token in tokens if token[:1].isdigit())
    return {hash((numbers, tokens[i : i + 3])) for i in range(max(1, len(tokens) - 2))}


def clusters(count: int, pairs: Iterable[tuple[int, int]]) -> list[list[int]]:
    """The numbers from 0 to `count` - 1, those that pairs join together, in the order of their first member."""
    parent = list(range(count))

    def root(index: int) -> int:
        while parent[index] != index:
            parent[index] = parent[parent[index]]
            index = parent[index]
        return index

    for pair in pairs:
        one, other = sorted(map(root, pair))
        parent[other] = one
    found: defaultdict[int, list[int]] = defaultdict(list)
    for index in range(count):
        found[root(index)].append(index)
    return list(found.values())
