"""Whether RL would have anything to learn from."""

from collections import Counter
from collections.abc import Sequence
from math import comb

from whit.core.types import Group
from whit.preflight._types import Finding
from whit.stats.intervals import wilson

Z = 1.96  # 95 %


def signal(groups: Sequence[Group], group_size: int, *, least: float = 0.1) -> Finding:
    """At least a share `least` of groups of `group_size` would hold different rewards: the others have no gradient.

    Where right and wrong ones earn the same, it is the reward that is named.
    Single completions are compared with others of the batch: of these a fifth of `least` has to differ from the most.
    """
    solved = sum(rollout.verdict.correct for group in groups for rollout in group.rollouts)
    count = sum(len(group.rollouts) for group in groups)
    earned = {rollout.reward for group in groups for rollout in group.rollouts}
    if len(earned) == 1 and 0 < solved < count:
        return Finding(
            "warning",
            f"the reward is {earned.pop():g} for every completion, and {100 * solved / count:.0f} % of {count:,} are "
            "correct: RL would learn from none",
            "mend the reward: it does not tell right from wrong.",
        )
    if group_size == 1:
        return _of_singles(Counter(r.reward for group in groups for r in group.rollouts), len(groups), least / 5)
    expected = sum(1 - _all_equal(Counter(r.reward for r in group.rollouts), group_size) for group in groups)
    share = wilson(expected / max(1, len(groups)), max(1, len(groups)), Z)
    found = (
        f"RL would learn from {share.percent()} of groups of {group_size} ({len(groups)} prompts x "
        f"{count // max(1, len(groups))} samples, {100 * solved / max(1, count):.0f} % correct)"
    )
    if share.estimate >= least:
        return Finding("ok", found)
    few = solved < count / 2
    return Finding(
        "warning",
        found,
        "run SFT first, or take easier problems." if few else "the task is solved: take harder problems.",
    )


def _of_singles(rewards: Counter[float], num_prompts: int, least: float) -> Finding:
    common, count = rewards.most_common(1)[0]
    share = wilson(1 - count / rewards.total(), num_prompts, Z)
    found = f"{share.percent()} of single completions earn another reward than {common:g} ({num_prompts} prompts)"
    if share.estimate >= least:
        return Finding("ok", found)
    return Finding("warning", found, "run SFT first, or take other problems.")


def _all_equal(rewards: Counter[float], size: int) -> float:
    """The chance that a group has one reward only: of samples drawn without replacement where they suffice, else with."""
    total = rewards.total()
    if size <= total:
        return sum(comb(count, size) for count in rewards.values()) / comb(total, size)
    return sum((count / total) ** size for count in rewards.values())
