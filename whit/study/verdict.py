"""What a study may claim: a shortlist that its intervals cannot split, and the cheapest and simplest of it.

The shortlist is every candidate that simultaneous intervals against the best cannot exclude; the untrained model is a
candidate. Of candidates that cost about the same, the one with fewer stages is taken, then the one with the higher mean.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from whit.stats.components import Array
from whit.stats.paired import Comparison, compare_to_best

NEAR_COST = 0.85  # pipelines end at whole steps below one ceiling: costs in this ratio are the same cost
SHOWN = 4
UNITS = ("flops", "seconds")


@dataclass(frozen=True)
class Candidate:
    """What a verdict weighs beside the scores, of one run. stages: 0 for the untrained model."""

    flops: float
    seconds: float
    stages: int


@dataclass(frozen=True)
class Verdict:
    """shortlist: best first; recommended: one of it by operations, None when nothing can be said; by_unit: by others.

    more_seeds, more_items: what would split the best from the next of the shortlist; None when nothing is left to split,
        or when no number of them is enough.
    """

    shortlist: tuple[str, ...]
    recommended: str | None
    sentence: str
    by_unit: dict[str, str] = field(default_factory=dict)
    more_seeds: int | None = None
    more_items: int | None = None


def decide(
    scores: Mapping[str, Array], groups_I: Sequence[object], candidates: Mapping[str, Candidate], untrained: str
) -> Verdict:
    """The verdict over `candidates`, which have scores [S, I] each; `untrained` is the one that trains nothing."""
    if len(candidates) < 2:
        return Verdict((), None, "Nothing is trained yet.")
    if all(len(scores[name]) < 2 for name in candidates if name != untrained):
        return Verdict(
            (), None, "One seed a pipeline cannot decide: the luck of a training is unknown. Run more seeds."
        )
    rows = compare_to_best({name: scores[name] for name in candidates}, groups_I, fixed={untrained})
    best = rows[0].b
    rivals = [row for row in rows if row.difference.high >= 0]
    shortlist = (best, *(row.a for row in rivals))
    by_unit = {unit: _cheapest(shortlist, candidates, unit) for unit in UNITS}
    recommended = by_unit["flops"]
    if not rivals:
        reason = "every other one is worse beyond its interval"
        return Verdict(shortlist, best, f"{best} is the best of {len(candidates) - 1} trainings: {reason}.", by_unit)
    nearest = rivals[0]
    num_seeds = max(len(scores[name]) for name in shortlist)
    seeds, items = nearest.splitting(num_seeds, len(groups_I)) if nearest.difference.estimate else (None, None)
    if untrained in shortlist:
        text = (
            f"No training is shown to help: {untrained} is among the {len(shortlist)} that intervals cannot tell apart."
        )
    else:
        text = (
            f"Undecided between {_listed(shortlist)}. Take {recommended}: {_why(recommended, shortlist, candidates)}."
        )
    return Verdict(shortlist, recommended, f"{text} {_splits(nearest, seeds, items)}", by_unit, seeds, items)


def _cheapest(shortlist: Sequence[str], candidates: Mapping[str, Candidate], unit: str) -> str:
    cost = {name: float(getattr(candidates[name], unit)) for name in shortlist}
    cheap = [name for name in shortlist if cost[name] * NEAR_COST <= min(cost.values())]
    return min(cheap, key=lambda name: (candidates[name].stages, shortlist.index(name)))


def _why(name: str, shortlist: Sequence[str], candidates: Mapping[str, Candidate]) -> str:
    others = [candidates[other] for other in shortlist if other != name]
    if all(candidates[name].flops < NEAR_COST * other.flops for other in others):
        return "it is the cheapest"
    if all(candidates[name].stages < other.stages for other in others):
        return "they cost about the same and it is the simplest"
    return "of the cheap and simple ones it has the highest mean"


def _splits(row: Comparison, seeds: int | None, items: int | None) -> str:
    enough = [f"{number:,} {what}" for number, what in ((seeds, "seeds"), (items, "items")) if number is not None]
    pair = f"{row.b} from {row.a}"
    if not enough:
        return f"No number of seeds or items alone would split {pair} at the difference seen."
    return f"About {' or '.join(enough)} would split {pair} at the difference seen."


def _listed(names: Sequence[str]) -> str:
    shown = [*names[:SHOWN], *([f"{len(names) - SHOWN} more"] if len(names) > SHOWN else [])]
    return f"{', '.join(shown[:-1])} and {shown[-1]}"
