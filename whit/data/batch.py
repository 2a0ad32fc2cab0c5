"""Documents to train on, and the packed micro-batch that the training loop computes with.

Only supervised tokens carry labels: a supervised token is one whose prediction is scored.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from whit.kernels.transfer import moved


@dataclass(frozen=True, slots=True)
class Document:
    """One sequence of token ids, with what is scored in it.

    spans: (start, end) ranges of `ids` whose prediction is scored; the first token of a document has no prediction.
    recorded: values known per supervised token before the step, in span order: advantages_T, old_logprobs_T, ...; also
        tensors [T] or [T, K], as kept_ids_TK, of T supervised tokens.
    facts: values per sequence: group_N, is_offline_N, ...
    weights: importance of this document by the name of a term; 1 where it is not named, 0 makes the term ignore it.
    twin: the same text in the tokens of a teacher that has others.
    shown: what the policy reads in the place of `ids`, such as masked ones, as long; labels are of `ids`.
    """

    ids: Sequence[int]
    spans: tuple[tuple[int, int], ...]
    recorded: Mapping[str, Sequence[float] | Tensor] = field(default_factory=dict)
    facts: Mapping[str, float] = field(default_factory=dict)
    weights: Mapping[str, float] = field(default_factory=dict)
    twin: "Twin | None" = None
    shown: Sequence[int] | None = None

    @property
    def read(self) -> Sequence[int]:
        """What the policy reads."""
        return self.ids if self.shown is None else self.shown

    @property
    def num_supervised(self) -> int:
        return sum(end - start for start, end in self.spans)


@dataclass(frozen=True, slots=True)
class Twin:
    """A document's text in the tokens of another model, and how the supervised tokens of both belong together.

    groups: (own tokens, the other's tokens) of each stretch that is compared, in order from the first supervised token.
    """

    document: Document
    groups: tuple[tuple[int, int], ...]


MIN_SHARED = 16  # tokens; shorter beginnings are not worth a look


def shared_length(document: Document) -> int:
    """How many tokens at its start a document would share with another of the same prompt; 0 for a few tokens."""
    prompt = document.spans[0][0] if document.spans else 0
    return prompt if prompt >= MIN_SHARED else 0


def beginning(document: Document) -> tuple[Sequence[int], ...]:
    """What documents have in common that share a prompt: the prompt as it is, and as it is shown."""
    shared = shared_length(document)
    own, shown = tuple(document.ids[:shared]), tuple(document.read[:shared])
    return (own,) if shown == own else (own, shown)


@dataclass(frozen=True)
class Batch:
    """A micro-batch: documents side by side in one row of L tokens, T of them supervised, N documents.

    A document that begins like an earlier one, with the same prompt, does not repeat it.
    tokens_L: what the policy reads; clean_L: what a teacher reads, the same unless documents are shown otherwise.
    lengths: tokens that each document has in the row. prefixes: (start, length) of the prompt that it shares, (0, 0) if
        it stands there whole.
    source_T: index in the row of the hidden state that predicts labels_T.
    sequence_T: which document a supervised token is of; offset_T: its place among the document's supervised tokens.
    recorded: the documents' recorded values, [T] or [T, K] each; facts: [N] each.
    twins: the documents in another model's tokens, if they have twins.
    groups: [G, 4], of each group of tokens that are compared the first row and the number of rows, own and the twins'.
    """

    tokens_L: Tensor
    clean_L: Tensor
    positions_L: Tensor
    lengths: tuple[int, ...]
    prefixes: tuple[tuple[int, int], ...]
    source_T: Tensor
    labels_T: Tensor
    sequence_T: Tensor
    offset_T: Tensor
    recorded: dict[str, Tensor]
    facts: dict[str, Tensor]
    twins: tuple[Document, ...]
    groups: Tensor


def collate(documents: Sequence[Document], device: torch.device, *, multiple: int = 1) -> Batch:
    """The documents as one micro-batch, in their order.

    multiple: fill the row up to a multiple of so many tokens with one more document that nothing looks at. Libraries
        keep a compiled matrix product for every shape they meet; with few shapes that costs neither memory nor time.
    """
    tokens: list[int] = []
    clean: list[int] = []
    positions: list[int] = []
    lengths: list[int] = []
    prefixes: list[tuple[int, int]] = []
    sources: list[int] = []
    labels: list[int] = []
    sequence: list[int] = []
    offset: list[int] = []
    seen: dict[tuple[Sequence[int], ...], int] = {}  # where a prompt stands in the row
    for index, document in enumerate(documents):
        scored = [position for start, end in document.spans for position in range(start, end)]
        assert not scored or scored[0] > 0, "the first token of a document has no prediction"
        base, shared = len(tokens), shared_length(document)
        start = seen.setdefault(beginning(document), base) if shared else base
        shared = 0 if start == base else shared
        sources += [p - 1 + (start if p <= shared else base - shared) for p in scored]
        labels += [document.ids[p] for p in scored]
        sequence += [index] * len(scored)
        offset += range(len(scored))
        tokens += document.read[shared:]
        clean += document.ids[shared:]
        positions += range(shared, len(document.ids))
        lengths.append(len(document.ids) - shared)
        prefixes.append((start, shared) if shared else (0, 0))
    filler = -len(tokens) % multiple
    if filler:
        tokens += [0] * filler
        clean += [0] * filler
        positions += range(filler)
        lengths.append(filler)
        prefixes.append((0, 0))
    tokens_L = moved(torch.tensor(tokens), device)
    is_shown = any(document.shown is not None for document in documents)
    return Batch(
        tokens_L=tokens_L,
        clean_L=moved(torch.tensor(clean), device) if is_shown else tokens_L,
        positions_L=moved(torch.tensor(positions), device),
        lengths=tuple(lengths),
        prefixes=tuple(prefixes),
        source_T=moved(torch.tensor(sources, dtype=torch.long), device),
        labels_T=moved(torch.tensor(labels, dtype=torch.long), device),
        sequence_T=moved(torch.tensor(sequence, dtype=torch.long), device),
        offset_T=moved(torch.tensor(offset, dtype=torch.long), device),
        recorded={
            name: moved(_joined(name, [document.recorded[name] for document in documents]), device)
            for name in (documents[0].recorded if documents else ())
        },
        facts={
            name: moved(torch.tensor([d.facts[name] for d in documents]), device)
            for name in (documents[0].facts if documents else ())
        },
        twins=tuple(document.twin.document for document in documents if document.twin),
        groups=moved(_groups(documents), device),
    )


def _joined(name: str, values: Sequence[Sequence[float] | Tensor]) -> Tensor:
    """What the documents recorded under a name, one after another: [T], or [T, K] for the widest K among them.

    A list that is shorter ends in what stands for no token: -inf where the name says logprobs, else 0. Tensors become
    float32, or int64, which indexes.
    """
    tensors = [part for part in values if isinstance(part, Tensor)]
    if not tensors:
        return torch.tensor([value for part in values for value in part])
    dtype = torch.float32 if any(part.is_floating_point() for part in tensors) else torch.long
    parts = [torch.as_tensor(part, dtype=dtype) for part in values]
    if all(part.dim() == 1 for part in parts):
        return torch.cat(parts)
    assert all(part.dim() == 2 or not len(part) for part in parts), f"{name}: all tokens have lists, or all numbers"
    neutral = float("-inf") if "logprobs" in name else 0
    joined = parts[0].new_full((sum(map(len, parts)), max(part.shape[-1] for part in parts)), neutral)
    start = 0
    for part in parts:
        joined[start : start + len(part), : part.shape[-1]] = part
        start += len(part)
    return joined


def _groups(documents: Sequence[Document]) -> Tensor:
    """[G, 4], counted over the supervised rows of all documents and of all their twins."""
    rows: list[tuple[int, int, int, int]] = []
    base, other_base = 0, 0
    for document in documents:
        if document.twin is not None:
            first, other = base, other_base
            for size, other_size in document.twin.groups:
                rows.append((first, size, other, other_size))
                first, other = first + size, other + other_size
            other_base += document.twin.document.num_supervised
        base += document.num_supervised
    return torch.tensor(rows, dtype=torch.long).view(-1, 4)
