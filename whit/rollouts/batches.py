"""Groups to documents: the policy's own tokens are supervised, and carry what is known of them."""

from collections.abc import Sequence

from whit.algorithms._types import Algorithm
from whit.core.types import Group, Rollout, join_ids
from whit.data.batch import Document


def to_documents(groups: Sequence[Group], algorithm: Algorithm) -> tuple[list[Document], int]:
    """One document a rollout with `rollout_logprobs_T`, and the number of groups dropped.

    Its facts say what credit is made of: its group, its reward, and whether the limit cut it off. A group whose rewards are
    all equal has no gradient unless a term other than the surrogate sees it; the algorithm says whether it is dropped, and
    which rollouts are imitated if that is what it does. What could not be judged has no reward: it is left out of baseline
    and loss. Denominators count what is left.
    """
    documents: list[Document] = []
    dropped = 0
    for index, group in enumerate(groups):
        judged = [r for r in group.rollouts if r.verdict.is_judged]
        rollouts = [r for r in judged if algorithm.above is None or r.reward > algorithm.above]
        too_few = len(judged) < min(2, algorithm.group_size)  # none that its reward could be compared with
        if not rollouts or too_few or (algorithm.drop_equal and is_equal(group)):
            dropped += 1
            continue
        documents += [_document(rollout, index) for rollout in rollouts]
    return documents, dropped


def is_equal(group: Group) -> bool:
    """Whether nothing in it is better than the rest: its rewards are equal, of those that could be judged."""
    if group.has_signal is not None:
        return not group.has_signal
    return len({r.reward for r in group.rollouts if r.verdict.is_judged}) <= 1


def pass_rate(group: Group) -> float | None:
    """The share that is right of its completions that were judged; None where none was."""
    judged = [r.verdict.correct for r in group.rollouts if r.verdict.is_judged]
    return sum(judged) / len(judged) if judged else None


def plain_document(rollout: Rollout) -> Document:
    """A rollout as text to imitate: the policy's tokens are supervised."""
    spans, position = [], 0
    for segment in rollout.segments:
        if segment.role == "policy":
            spans.append((position, position + len(segment.ids)))
        position += len(segment.ids)
    return Document(ids=join_ids(rollout.segments), spans=tuple(spans))


def _document(rollout: Rollout, group: int) -> Document:
    document = plain_document(rollout)
    logprobs = [lp for segment in rollout.segments for lp in segment.logprobs or ()]
    facts = {
        "group_N": float(group), "reward_N": rollout.reward, "is_right_N": float(rollout.verdict.correct),
        "is_truncated_N": float(rollout.finish == "length"),
    }  # fmt: skip
    return Document(ids=document.ids, spans=document.spans, recorded={"rollout_logprobs_T": logprobs}, facts=facts)
