"""Whether a model can learn to stop: the most common silent bug of the field."""

from collections.abc import Sequence

from whit.data.batch import Document
from whit.data.render import Renderer
from whit.models.load import Policy
from whit.preflight._types import Finding


def stop_tokens(policy: Policy, renderer: Renderer, documents: Sequence[Document]) -> Finding:
    """Every document ends with a supervised token that ends a completion when the model samples it."""

    def name(token: int) -> str:
        return f"{policy.tokenizer.decode([token])!r} ({token})"

    end, pad = renderer.end_of_turn, policy.tokenizer.pad_token_id
    stops = ", ".join(map(name, sorted(renderer.stop_ids)))
    open_ended = sum(not _ends(document, renderer.stop_ids) for document in documents)
    if open_ended:
        return Finding(
            "failed", f"{open_ended:,} of {len(documents):,} documents do not end with a supervised stop token ({stops})",
            f"Supervise the end of the turn, {name(end)}: a model that never sees it supervised never stops.",
        )  # fmt: skip
    generation = set(policy.stop_ids)
    if generation and end not in generation:
        return Finding(
            "warning", f"the template ends a turn with {name(end)}, generation_config.json stops at "
            f"{', '.join(map(name, sorted(generation)))}", "whit stops at both and writes both into what it saves; "
            "with another tool, set eos_token_id yourself.",
        )  # fmt: skip
    found = f"completions end with {name(end)}; sampling stops at {stops}"
    if pad == end:
        found += ". It is the padding token too: whit pads nothing, but a trainer that masks padding would mask it"
    return Finding("ok", found)


def _ends(document: Document, stops: frozenset[int]) -> bool:
    if not document.spans:
        return False
    start, end = document.spans[-1]
    return end > start and document.ids[end - 1] in stops
