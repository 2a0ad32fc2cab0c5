"""Documents to train on, and the packed micro-batch that the training loop computes with.

Only supervised tokens carry labels: a supervised token is one whose prediction is scored.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor


@dataclass(frozen=True, slots=True)
class Document:
    """One sequence of token ids, with what is scored in it.

    spans: (start, end) ranges of `ids` whose prediction is scored; the first token of a document has no prediction.
    recorded: values known per supervised token before the step, in span order: advantages_T, old_logprobs_T, ...
    facts: values per sequence: group_N, is_offline_N, ...
    weights: importance of this document by the name of a term; 1 where it is not named, 0 makes the term ignore it.
    """

    ids: Sequence[int]
    spans: tuple[tuple[int, int], ...]
    recorded: Mapping[str, Sequence[float]] = field(default_factory=dict)
    facts: Mapping[str, float] = field(default_factory=dict)
    weights: Mapping[str, float] = field(default_factory=dict)

    @property
    def num_supervised(self) -> int:
        return sum(end - start for start, end in self.spans)


@dataclass(frozen=True)
class Batch:
    """A micro-batch: documents side by side in one row of L tokens, T of them supervised, N documents.

    source_T: index in the row of the hidden state that predicts labels_T.
    sequence_T: which document a supervised token is of; offset_T: its place among the document's supervised tokens.
    recorded: the documents' recorded values, [T] each; facts: [N] each.
    """

    tokens_L: Tensor
    positions_L: Tensor
    lengths: tuple[int, ...]
    source_T: Tensor
    labels_T: Tensor
    sequence_T: Tensor
    offset_T: Tensor
    recorded: dict[str, Tensor]
    facts: dict[str, Tensor]


def collate(documents: Sequence[Document], device: torch.device, *, multiple: int = 1) -> Batch:
    """The documents as one micro-batch, in their order.

    multiple: fill the row up to a multiple of so many tokens with one more document that nothing looks at. Libraries
        keep a compiled matrix product for every shape they meet; with few shapes that costs neither memory nor time.
    """
    tokens: list[int] = []
    positions: list[int] = []
    sources: list[int] = []
    sequence: list[int] = []
    offset: list[int] = []
    for index, document in enumerate(documents):
        base = len(tokens)
        scored = [position for start, end in document.spans for position in range(start, end)]
        assert not scored or scored[0] > 0, "the first token of a document has no prediction"
        sources += [base + position - 1 for position in scored]
        sequence += [index] * len(scored)
        offset += range(len(scored))
        tokens += document.ids
        positions += range(len(document.ids))
    lengths = [len(document.ids) for document in documents]
    filler = -len(tokens) % multiple
    if filler:
        tokens += [0] * filler
        positions += range(filler)
        lengths.append(filler)
    tokens_L, source_T = torch.tensor(tokens), torch.tensor(sources, dtype=torch.long)
    return Batch(
        tokens_L=tokens_L.to(device),
        positions_L=torch.tensor(positions).to(device),
        lengths=tuple(lengths),
        source_T=source_T.to(device),
        labels_T=tokens_L[source_T + 1].to(device),
        sequence_T=torch.tensor(sequence, dtype=torch.long).to(device),
        offset_T=torch.tensor(offset, dtype=torch.long).to(device),
        recorded={
            name: torch.tensor([v for d in documents for v in d.recorded[name]]).to(device)
            for name in (documents[0].recorded if documents else ())
        },
        facts={
            name: torch.tensor([d.facts[name] for d in documents]).to(device)
            for name in (documents[0].facts if documents else ())
        },
    )
