"""The value that belongs to a key among many records: retrieval at any length.  Source: arXiv:2307.03172."""

from collections.abc import Iterator
from functools import partial
from random import Random
from string import ascii_lowercase
from typing import Literal
from uuid import UUID

from whit.core.errors import UsageError
from whit.core.types import Example, Split
from whit.tasks._depths import check_depths, check_range, chosen_place, depth_of
from whit.tasks._generated import generated

CONSONANTS, VOWELS = "bdfgklmnprstvz", "aeiou"
SIZES: dict[Split, int] = {"train": 20_000, "dev": 500, "test": 1000, "ood": 500}
Form = Literal["words", "letters", "uuid"]
Reply = Literal["value", "record"]
LIMITS: dict[Form, int] = {"letters": len(ascii_lowercase), "words": (len(CONSONANTS) * len(VOWELS)) ** 2}
BETWEEN: dict[Form, str] = {"words": ": ", "letters": " ", "uuid": ": "}


def key_values(
    split: Split,
    *,
    pairs: tuple[int, int] = (4, 32),
    queries: int = 1,
    form: Form = "words",
    reply: Reply = "value",
    depths: tuple[float, ...] = (),
    size: int | None = None,
    seed: int = 0,
) -> Iterator[Example]:
    """Records 'key: value' (letters 'k 7'), a number of them between `pairs`, both included, and one of the keys.

    form: "words" are made-up words of four letters with numbers of three digits; "letters" one of each, for models that
        have yet to learn to look up; "uuid" random 128-bit names for both, as in the source, some 25 tokens each.
    queries: keys that are asked for at once, whose values are the answer in their order: more to learn from in one text.
        Of more than there are pairs some come again. `depth` is that of the first.
    reply: "value" is the value alone; "record" repeats the key before it, one record a line: a model that has learnt to
        copy can look up.
    depths: where the record stands that is asked for, from 0 to 1; anywhere where none is given.
    The split "ood" has from one more than the most pairs to twice as many, as far as there are keys. The metadata has
    `pairs` and `depth`, in tenths.
    """
    check_range("key_values", "pairs", pairs, 2)
    if queries < 1:
        raise UsageError(f"key_values: queries={queries}. Give 1 or more.")
    check_depths("key_values", depths)
    limit = LIMITS.get(form, 2 * pairs[1])
    if pairs[1] > limit:
        instead = "words" if form == "letters" else "uuid"
        raise UsageError(f'key_values: {pairs[1]:,} pairs, and there are {limit:,} {form}. Take form = "{instead}".')
    low, high = pairs if split != "ood" else (pairs[1] + 1, 2 * pairs[1])
    high = min(high, limit)
    if low > high:
        return
    wanted = SIZES[split] if size is None else size
    yield from generated(
        "key_values", split, partial(_draw, low, high, queries, form, reply, depths, split), size=wanted, seed=seed
    )


def _draw(
    low: int,
    high: int,
    queries: int,
    form: Form,
    reply: Reply,
    depths: tuple[float, ...],
    split: Split,
    rng: Random,
) -> Example:
    count = rng.randint(low, high)
    keys: dict[str, str] = {}
    while len(keys) < count:
        keys[_key(rng, form)] = _value(rng, form)
    place = chosen_place(rng, count, depths)
    names = list(keys)
    asked = [names[place]]
    if queries <= count:
        asked += rng.sample(names[:place] + names[place + 1 :], queries - 1)
    else:
        asked += rng.choices(names, k=queries - 1)
    lines = {name: f"{name}{BETWEEN[form]}{value}" for name, value in keys.items()}
    values = " ".join(keys[name] for name in asked)
    gold = values if reply == "value" else "\n".join(lines[name] for name in asked)
    records = "\n".join(lines.values())
    what = f"{'value' if queries == 1 else 'values'} of {' '.join(asked)}"
    return Example(
        id="", prompt=f"Find the {what} in these records.\n{records}\nThe {what}?",
        gold=gold, verifier="exact_text", group=f"{asked[0]}:{values}" + (" (ood)" if split == "ood" else ""),
        answer_format="plain", instruction=_instruction(reply, queries),
        metadata={"pairs": count, "depth": depth_of(place, count)},
    )  # fmt: skip


def _instruction(reply: Reply, queries: int) -> str:
    return f"Answer with the {reply}{'' if queries == 1 else 's'} alone{'' if queries == 1 else ', in this order'}."


def _key(rng: Random, form: Form) -> str:
    if form == "uuid":
        return str(UUID(int=rng.getrandbits(128), version=4))
    if form == "letters":
        return rng.choice(ascii_lowercase)
    return "".join(rng.choice(letters) for letters in (CONSONANTS, VOWELS) * 2)


def _value(rng: Random, form: Form) -> str:
    if form == "uuid":
        return _key(rng, form)
    return str(rng.randint(0, 9) if form == "letters" else rng.randint(100, 999))
