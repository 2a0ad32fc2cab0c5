"""What a study may claim: a shortlist that its intervals cannot split, and the cheapest and simplest of it.

Whether training helps is answered by the differences to the untrained model, in the family that the table shows. The
shortlist is every training that simultaneous intervals against the best training cannot exclude. Of those that are shown to
help and cost about the same, the one with fewer stages is taken, then the one with the higher mean.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from whit.core.types import Interval
from whit.stats.components import Array
from whit.stats.paired import Comparison, compare_to_best

NEAR_COST = 0.85  # pipelines end at whole steps below one ceiling: costs in this ratio are the same cost
SHOWN = 4
UNITS = ("flops", "seconds")


@dataclass(frozen=True)
class Candidate:
    """What a verdict weighs of a training beside its scores.

    gain: over the untrained model, simultaneous over the table; None while no training has two seeds.
    flops, seconds: of one run that ended as it should. is_sound: all did; a run that broke off is cheap for no merit.
    """

    gain: Interval | None
    flops: float
    seconds: float
    stages: int
    is_sound: bool = True


@dataclass(frozen=True)
class Verdict:
    """shortlist: trainings, best first. recommended: one of it by operations, or the untrained model; None when nothing can
    be said. by_unit: the recommendation by operations and by time.

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
    """The verdict over the trainings `candidates`, which have scores [S, I] each; `untrained` names what trains nothing."""
    if not candidates:
        return Verdict((), None, "Nothing is trained yet.")
    gains = {name: candidate.gain for name, candidate in candidates.items() if candidate.gain is not None}
    if len(gains) < len(candidates) or all(len(scores[name]) < 2 for name in candidates):
        return Verdict(
            (), None, "One seed a pipeline cannot decide: the luck of a training is unknown. Run more seeds."
        )
    rows = compare_to_best({name: scores[name] for name in candidates}, groups_I) if len(candidates) > 1 else ()
    best = rows[0].b if rows else next(iter(candidates))
    rivals = [row for row in rows if row.difference.high >= 0]
    shortlist = (best, *(row.a for row in rivals))
    helpful = [name for name in gains if gains[name].low > 0]
    if not helpful:
        worse = all(gain.high < 0 for gain in gains.values())
        text = f"Every training is worse than {untrained} beyond its interval." if worse else (
            f"No training is shown to help: no interval of a gain over {untrained} leaves zero out."
        )  # fmt: skip
        return Verdict(shortlist, untrained, text, dict.fromkeys(UNITS, untrained))
    eligible = [name for name in shortlist if name in helpful] or helpful
    by_unit = {unit: _cheapest(eligible, candidates, unit) for unit in UNITS}
    recommended = by_unit["flops"]
    if not rivals:
        others = "; every other one is worse beyond its interval" if len(candidates) > 1 else ", the only training"
        return Verdict(shortlist, recommended, f"{best} is better than {untrained}{others}.", by_unit)
    nearest = rivals[0]
    num_seeds = min(len(scores[nearest.a]), len(scores[nearest.b]))
    seeds, items = nearest.splitting(num_seeds, len(groups_I))
    text = f"Undecided between {_listed(shortlist)}. Take {recommended}: {_why(recommended, eligible, candidates)}."
    return Verdict(shortlist, recommended, f"{text} {_splits(nearest, seeds, items)}", by_unit, seeds, items)


def _cheapest(names: Sequence[str], candidates: Mapping[str, Candidate], unit: str) -> str:
    names = [name for name in names if candidates[name].is_sound] or names
    cost = {name: float(getattr(candidates[name], unit)) for name in names}
    cheap = [name for name in names if cost[name] * NEAR_COST <= min(cost.values())]
    return min(cheap, key=lambda name: (candidates[name].stages, names.index(name)))


def _why(name: str, names: Sequence[str], candidates: Mapping[str, Candidate]) -> str:
    others = [candidates[other] for other in names if other != name]
    if not others:
        return "of these it alone is shown to be better than no training"
    if all(candidates[name].flops < NEAR_COST * other.flops for other in others):
        return "it is the cheapest"
    if all(candidates[name].stages < other.stages for other in others):
        return "they cost about the same and it is the simplest"
    return "of the cheap and simple ones it has the highest mean"


def _splits(row: Comparison, seeds: int | None, items: int | None) -> str:
    enough = [f"{number:,} {what}" for number, what in ((seeds, "seeds"), (items, "items")) if number is not None]
    pair = f"{row.b} from {row.a}"
    if not enough:
        return f"More seeds or more items alone would not split {pair} at the difference seen."
    return f"About {' or '.join(enough)} would split {pair} at the difference seen."


def _listed(names: Sequence[str]) -> str:
    shown = [*names[:SHOWN], *([f"{len(names) - SHOWN} more"] if len(names) > SHOWN else [])]
    return f"{', '.join(shown[:-1])} and {shown[-1]}"
