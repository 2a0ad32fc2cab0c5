"""Whether documents that share a row see each other."""

from collections.abc import Sequence

import torch

from whit.data.batch import Document, collate
from whit.models.attention import Packed
from whit.models.load import Policy
from whit.preflight._types import Finding, verdict

NUM_DOCUMENTS = 3


@torch.no_grad()
def packing(policy: Policy, documents: Sequence[Document], *, max_difference: float = 1e-3) -> Finding:
    """The logits of documents packed into one row are those of each document alone.

    max_difference: largest, in standard deviations of the logits; rounding in float32 gives about 1e-5.
    """
    decoder, chosen = policy.decoder, list(documents[:NUM_DOCUMENTS])
    device = next(decoder.parameters()).device

    def logits(packed: Sequence[Document]) -> torch.Tensor:
        batch = collate(packed, device)
        hidden_LD = decoder(batch.tokens_L, batch.positions_L, Packed(batch.lengths, device, prefixes=batch.prefixes))
        return decoder.logits(hidden_LD[batch.source_T])

    together, apart = logits(chosen), torch.cat([logits([document]) for document in chosen])
    difference = float((together - apart).abs().max() / apart.std())
    return verdict(
        difference <= max_difference,
        f"logits of {len(chosen)} packed documents are within {difference:.1g} standard deviations of those alone",
        "Attention leaks between documents: this model's attention cannot be packed as it is.",
    )
