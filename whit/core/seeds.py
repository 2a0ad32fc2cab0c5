"""Named random streams: adding one draw never shifts another, and no generator state needs saving.

A stream is keyed by (seed, name, ...), so an exact resume only needs the step number.
"""

import hashlib
import random


def key64(*parts: object) -> int:
    """A 64-bit number that depends on all parts and nothing else: the same on every machine and in every process."""
    text = "\x1f".join(map(str, parts))
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "little")


def stream(seed: int, name: str, *parts: object) -> random.Random:
    """The generator of the stream `name`, for example stream(seed, "packing", epoch)."""
    return random.Random(key64(seed, name, *parts))
