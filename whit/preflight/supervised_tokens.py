"""Which tokens are trained on."""

from collections.abc import Sequence

from whit.data.batch import Document
from whit.preflight._types import Finding


def supervised_tokens(documents: Sequence[Document]) -> Finding:
    """Every document has supervised tokens, and tokens of a prompt that are not."""
    supervised = sum(d.num_supervised for d in documents)
    total = sum(len(d.ids) for d in documents)
    counts = f"{supervised:,} of {total:,} tokens of {len(documents):,} documents are supervised"
    empty = sum(d.num_supervised == 0 for d in documents)
    whole = sum(d.num_supervised >= len(d.ids) - 1 for d in documents)
    if empty:
        return Finding("failed", f"{counts}; {empty:,} documents have none", "Look at them with `whit inspect`.")
    if whole:
        return Finding(
            "failed", f"{counts}; in {whole:,} documents that is everything, the prompt too",
            "The mask is lost: look at the spans with `whit inspect`.",
        )  # fmt: skip
    return Finding("ok", counts)
