"""Whether RL would have anything to learn from."""

from collections.abc import Sequence

from whit.core.types import Group
from whit.preflight._types import Finding
from whit.stats.intervals import wilson

Z = 1.96  # 95 %


def signal(groups: Sequence[Group], *, least: float = 0.1) -> Finding:
    """At least a share `least` of the groups hold different rewards: the others have no gradient."""
    mixed = sum(len({rollout.reward for rollout in group.rollouts}) > 1 for group in groups)
    share = wilson(mixed / max(1, len(groups)), len(groups), Z)
    solved = sum(rollout.verdict.correct for group in groups for rollout in group.rollouts)
    count = sum(len(group.rollouts) for group in groups)
    found = (
        f"RL would learn from {share.percent()} of groups ({len(groups)} prompts x {count // max(1, len(groups))} samples, "
        f"{100 * solved / max(1, count):.0f} % correct)"
    )
    if share.estimate >= least:
        return Finding("ok", found)
    few = solved < count / 2
    return Finding(
        "warning",
        found,
        "run SFT first, or take easier problems." if few else "the task is solved: take harder problems.",
    )
