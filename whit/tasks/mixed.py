"""Several generated tasks as one: fresh examples of each in turn, to train on what none of them has alone."""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from itertools import islice
from typing import Any

from whit.core.errors import UsageError
from whit.core.parts import bind, find, options
from whit.core.seeds import key64
from whit.core.types import Example, Split

SIZES: dict[Split, int] = {"train": 20_000, "dev": 500, "test": 1000, "ood": 500}


def mixed(
    split: Split, *, of: tuple[dict[str, Any], ...] = (), size: int | None = None, seed: int = 0
) -> Iterator[Example]:
    """`size` examples, an equal share of each of the tasks in `of`, one after another in turn.

    of: tables {name = ..., its settings}, of tasks that make their examples, such as key_values and word_problems. Each has
        a `domain` in its metadata, its task's name, for curricula over domains.
    One task may come again, with the same settings or others: its problems are other ones.
    Raises UsageError for fewer than two tasks, and for one that is not generated.
    """
    if len(of) < 2:
        raise UsageError('mixed: give two tasks or more, of = [{ name = "key_values" }, { name = "word_problems" }].')
    wanted = SIZES[split] if size is None else size
    streams = [_of(spec, split, -(-wanted // len(of)), place, seed) for place, spec in enumerate(of)]
    turns = zip(*streams, strict=split != "ood")  # a task may have nothing harder
    yield from islice((example for turn in turns for example in turn), wanted)


def _of(spec: Mapping[str, Any], split: Split, size: int, place: int, seed: int) -> Iterator[Example]:
    settings = dict(spec)
    name = str(settings.pop("name", ""))
    if not {"size", "seed"} <= options(find("task", name)).keys():
        raise UsageError(f"mixed: the task '{name}' is not generated: it has no settings size and seed.")
    if own_size := sorted({"size", "seed"} & settings.keys()):
        raise UsageError(
            f"mixed: {own_size[0]} of the task '{name}' is given for all of them together: set it outside of `of`."
        )
    own = {**settings, "size": size, "seed": key64(seed, "mixed", place) % 2**31}
    for example in bind("task", name, own, "task.of")(split):
        yield replace(example, id=f"{example.id}-{place}", metadata={"domain": name, **example.metadata})
