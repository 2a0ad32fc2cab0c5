"""Where in a long text that which is asked for stands."""

from random import Random

from whit.core.errors import UsageError


def chosen_place(rng: Random, count: int, depths: tuple[float, ...]) -> int:
    """One of `count` places: at one of the depths, from 0, the first, to 1, the last; anywhere where none is given."""
    return round(rng.choice(depths) * (count - 1)) if depths else rng.randrange(count)


def depth_of(place: int, count: int) -> float:
    """The depth of a place, in tenths."""
    return round(place / max(1, count - 1), 1)


def check_depths(name: str, depths: tuple[float, ...]) -> None:
    """Raises UsageError for a depth that is no share."""
    if wrong := [depth for depth in depths if not 0 <= depth <= 1]:
        raise UsageError(f"{name}: a depth of {wrong[0]:g}. Depths go from 0, the beginning, to 1, the end.")


def check_range(name: str, what: str, bounds: tuple[int, int], least: int) -> None:
    """Raises UsageError unless `bounds` are the fewest and the most of something."""
    if not least <= bounds[0] <= bounds[1]:
        raise UsageError(f"{name}: {what}={bounds}. Give the fewest and the most, {least} or more.")
