"""1 for a correct completion, 0 for any other; a user's own reward function overrides it."""

from whit.core.types import Verdict


def accuracy(verdict: Verdict, text: str, *, format_weight: float = 0.0) -> float:
    """The reward that the verdict carries, else 1 or 0 by lenient correctness.

    format_weight: added when the answer stands in the form that the prompt asked for. Keep it far below 1: it must
    never outscore being right.
    """
    if verdict.reward is not None:
        return verdict.reward
    return float(verdict.correct) + format_weight * verdict.has_format
