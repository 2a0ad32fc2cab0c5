"""Documents that begin with the same prompt, as the completions of a group do: a micro-batch computes its tokens once."""

from collections.abc import Hashable, Sequence

from whit.core.flops import causal_pairs
from whit.data.batch import Document, beginning, shared_length
from whit.data.packing import pack


def micro_batches(documents: Sequence[Document], max_tokens: int) -> list[list[int]]:
    """Indices of the documents of each micro-batch; one document longer than `max_tokens` raises it to its length.

    Documents of one prompt stay together as far as they fit, so that the prompt is computed once for all of them.
    """
    limit = max(max_tokens, *(len(d.ids) for d in documents))
    bundles: list[list[int]] = []
    sizes: list[int] = []
    for members in _by_prompt(documents):
        for place, index in enumerate(members):
            whole = len(documents[index].ids)
            own = whole - shared_length(documents[index])
            if place and sizes[-1] + own <= limit:
                bundles[-1].append(index)
                sizes[-1] += own
            else:
                bundles.append([index])
                sizes.append(whole)
    return [[index for bundle in row for index in bundles[bundle]] for row in pack(sizes, limit)]


def work(documents: Sequence[Document]) -> tuple[int, int, float]:
    """Tokens through the body, rows through the head and query-key pairs of a pass over the documents.

    A prompt that several share is counted once, however the documents are cut into micro-batches.
    """
    tokens, pairs = 0, 0.0
    for members in _by_prompt(documents):
        again = (len(members) - 1) * shared_length(documents[members[0]])
        tokens += sum(len(documents[i].ids) for i in members) - again
        pairs += causal_pairs(*(len(documents[i].ids) for i in members))
        pairs -= (len(members) - 1) * causal_pairs(shared_length(documents[members[0]]))
    return tokens, sum(d.num_supervised for d in documents), pairs


def _by_prompt(documents: Sequence[Document]) -> list[list[int]]:
    """Indices of documents grouped by the prompt that they share, in the order of first appearance."""
    groups: dict[Hashable, list[int]] = {}
    for index, document in enumerate(documents):
        shared = shared_length(document)
        groups.setdefault(beginning(document) if shared else index, []).append(index)
    return list(groups.values())
