"""One pass of a teacher over documents, which keeps a few tokens of each distribution in a cache."""

from collections.abc import Callable, Sequence
from pathlib import Path

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

from whit.core.flops import forward_flops
from whit.core.ledger import Ledger
from whit.data.batch import Document, collate
from whit.data.sharing import micro_batches, work
from whit.data.sparse import sampled_entries, top_entries, uniforms
from whit.data.teacher_cache import CacheFacts, CacheWriter, document_key, open_writer
from whit.models.causal import CausalLM
from whit.training.chunks import row_chunks
from whit.training.teachers import supervised_states

ROUND = 64  # documents between two writes: what a kill can lose
MICRO_BATCH = 4096  # tokens at once, without gradient: more are no faster


@torch.no_grad()
def cache_teacher(
    path: Path, facts: CacheFacts, documents: Sequence[Document], teacher: CausalLM, *, seed: int, ledger: Ledger,
    notify: Callable[[int], None] = lambda _: None,
) -> None:  # fmt: skip
    """Write what the cache at `path` lacks of these documents. What a killed pass left is kept, and charged all the same.

    seed: of the draws of a "sampled" cache. notify: told the number of documents that are done.
    """
    different = list({document_key(document): document for document in documents}.values())
    with open_writer(path, facts) as writer:
        for start in range(0, len(different), ROUND):
            notify(start)
            chosen = different[start : start + ROUND]
            left = writer.missing(chosen)
            with ledger.timed("teacher"):
                for members in micro_batches(left, MICRO_BATCH) if left else ():
                    _add(writer, [left[i] for i in members], teacher, seed)
            tokens, scored, pairs = work(chosen)
            ledger.charge("teacher", flops=forward_flops(teacher.config.shape, tokens, scored, pairs), tokens=tokens)
            writer.flush()


def _add(writer: CacheWriter, documents: Sequence[Document], teacher: CausalLM, seed: int) -> None:
    """The documents of one micro-batch, row chunk by row chunk through the head."""
    facts, device = writer.facts, next(teacher.parameters()).device
    hidden_TD = supervised_states(teacher, collate(documents, device))
    draws_TK = None
    if facts.kind == "sampled":
        draws_TK = torch.cat([uniforms(seed, document, facts.kept) for document in documents]).to(device)
    chunks: list[tuple[Tensor, Tensor]] = []
    for rows in row_chunks(len(hidden_TD), teacher, reads_logits=True):
        logits_TV = teacher.logits(hidden_TD[rows])[:, : facts.vocab_size]
        if draws_TK is None:
            chunks.append(top_entries(logits_TV, facts.kept))
        else:
            chunks.append(sampled_entries(logits_TV, draws_TK[rows], temperature=facts.temperature))
    width = max(ids_TK.shape[1] for ids_TK, _ in chunks)
    ids_TK, values_TK = (
        torch.cat([F.pad(part, (0, width - part.shape[1])) for part in side]) for side in zip(*chunks, strict=True)
    )
    sizes = [document.num_supervised for document in documents]
    for document, own_ids_TK, own_values_TK in zip(
        documents, torch.split(ids_TK, sizes), torch.split(values_TK, sizes), strict=True
    ):
        writer.add(document, own_ids_TK, own_values_TK)
