"""Groups to documents: the policy's own tokens are supervised and carry their advantage."""

from collections.abc import Sequence

from whit.algorithms._types import Algorithm
from whit.core.types import Group, Rollout, join_ids
from whit.data.batch import Document


def to_documents(groups: Sequence[Group], algorithm: Algorithm) -> tuple[list[Document], int]:
    """One document a rollout with `advantages_T` and `rollout_logprobs_T`, and the number of groups dropped.

    A group whose rewards are all equal has no gradient unless a term other than the surrogate sees it; the algorithm says
    whether it is dropped. Denominators count what is left.
    """
    documents: list[Document] = []
    dropped = 0
    for index, group in enumerate(groups):
        rewards = [rollout.reward for rollout in group.rollouts]
        if algorithm.drop_equal and len(set(rewards)) == 1:
            dropped += 1
            continue
        advantages = algorithm.credit(rewards).tolist()
        documents += [_document(r, a, index) for r, a in zip(group.rollouts, advantages, strict=True)]
    return documents, dropped


def plain_document(rollout: Rollout) -> Document:
    """A rollout as text to imitate: the policy's tokens are supervised."""
    spans, position = [], 0
    for segment in rollout.segments:
        if segment.role == "policy":
            spans.append((position, position + len(segment.ids)))
        position += len(segment.ids)
    return Document(ids=join_ids(rollout.segments), spans=tuple(spans))


def _document(rollout: Rollout, advantage: float, group: int) -> Document:
    document = plain_document(rollout)
    logprobs = [lp for segment in rollout.segments for lp in segment.logprobs or ()]
    return Document(
        ids=document.ids,
        spans=document.spans,
        recorded={"advantages_T": [advantage] * len(logprobs), "rollout_logprobs_T": logprobs},
        facts={"group_N": float(group)},
    )
