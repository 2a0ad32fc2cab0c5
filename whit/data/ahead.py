"""Work that is ready when it is needed: the next item is made in a thread of its own while this one is used."""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

In = TypeVar("In")
Out = TypeVar("Out")


def ahead(make: Callable[[In], Out], items: Sequence[In]) -> Iterator[Out]:
    """What `make` makes of each item, in order, one item ahead of the caller. Its errors are raised in their turn."""
    with ThreadPoolExecutor(1, thread_name_prefix="ahead") as thread:
        coming = thread.submit(make, items[0]) if items else None
        for place in range(1, len(items) + 1):
            assert coming
            current, coming = coming, thread.submit(make, items[place]) if place < len(items) else None
            yield current.result()
