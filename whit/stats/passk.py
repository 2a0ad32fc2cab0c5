"""Scores of one item from n sampled answers: at least one of k is right, and the vote of k. Unbiased for k <= n."""

from collections import Counter
from collections.abc import Sequence
from functools import lru_cache
from math import comb
from typing import overload

import numpy as np
from numpy.typing import ArrayLike, NDArray

from whit.core.errors import UsageError


@overload
def pass_at_k(num_samples: int, num_correct: int, k: int) -> float: ...
@overload
def pass_at_k(num_samples: ArrayLike, num_correct: ArrayLike, k: int) -> NDArray[np.float64]: ...
def pass_at_k(num_samples: ArrayLike, num_correct: ArrayLike, k: int) -> float | NDArray[np.float64]:
    """Probability that k of the n samples, drawn without replacement, hold a correct one; 0 to 1.

    num_samples, num_correct: n and c of one item, or arrays of items.
    Raises UsageError when n < k: fewer samples say nothing of k.
    Source: arXiv:2107.03374; the plug-in 1 - (1 - c/n)^k is biased low.
    """
    n, c = np.asarray(num_samples), np.asarray(num_correct)
    if k < 1 or (n < k).any():
        raise UsageError(
            f"pass@{k} needs k of 1 or more and at least k samples of every item; the fewest is {n.min()}."
        )
    if (c < 0).any() or (c > n).any():
        raise UsageError("num_correct must lie between 0 and num_samples for every item.")
    misses = np.ones(np.broadcast_shapes(n.shape, c.shape))
    for drawn in range(k):
        misses *= np.maximum(n - c - drawn, 0) / (n - drawn)
    return 1.0 - misses if misses.ndim else float(1.0 - misses)


def majority_at_k(answers: Sequence[str | None], correct: Sequence[bool], k: int) -> float:
    """Expected credit of the vote of k of the n samples, drawn without replacement; 0 to 1.

    answers: the parsed answer of each sample; None could not be parsed and does not vote.
    correct: whether it is right; a None is wrong.
    The answer with most votes wins; when several tie, each has an equal chance. No vote at all earns 0.
    The mean over all subsets is counted, not sampled, so majority@1 is mean@n to the last bits.
    """
    num_samples = len(answers)
    if len(correct) != num_samples or not 1 <= k <= num_samples:
        raise UsageError(
            f"majority@{k} of {num_samples} answers and {len(correct)} verdicts: needs 1 <= k <= n of both."
        )
    sizes = Counter(answer for answer in answers if answer is not None)
    right = Counter(answer for answer, is_right in zip(answers, correct) if is_right and answer is not None)
    num_silent = num_samples - sizes.total()
    credit = 0.0
    for answer, num_right in right.items():
        others = tuple(sorted(size for other, size in sizes.items() if other != answer))
        credit += num_right / sizes[answer] * _chance_to_win(sizes[answer], others, num_silent, k)
    return credit


@lru_cache(maxsize=1 << 16)
def _chance_to_win(own: int, others: tuple[int, ...], num_silent: int, k: int) -> float:
    """Chance that the answer given `own` times wins the vote of k; `others` are the counts of the other answers."""
    wins = 0.0
    for votes in range(1, min(own, k) + 1):
        rest = k - votes
        # ways_TR[t, r]: choices in which the others cast r votes, none more than `votes` and t of them just as many.
        ways_TR = np.zeros((rest // votes + 1, rest + 1))
        ways_TR[0, 0] = 1.0
        for size in others:
            grown_TR = np.zeros_like(ways_TR)
            for cast in range(min(size, votes, rest) + 1):
                tied = int(cast == votes)
                grown_TR[tied:, cast:] += comb(size, cast) * ways_TR[: len(ways_TR) - tied, : rest + 1 - cast]
            ways_TR = grown_TR
        silent_R = np.array([comb(num_silent, rest - cast) for cast in range(rest + 1)], dtype=np.float64)
        shares_T = 1.0 / np.arange(1, len(ways_TR) + 1)
        wins += comb(own, votes) * float(shares_T @ ways_TR @ silent_R)
    return wins / comb(own + sum(others) + num_silent, k)
