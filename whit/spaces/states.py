"""The states of a model at the end of prompts, where it is about to answer."""

import time
from collections.abc import Sequence

import torch
from torch import Tensor

from whit.core.flops import Shape, forward_flops
from whit.core.ledger import Ledger
from whit.data.batch import Document, collate
from whit.data.sharing import micro_batches, work
from whit.models.attention import Packed
from whit.models.causal import CausalLM
from whit.models.watch import watched_layers

ROW = 4096  # tokens of a pass


@torch.no_grad()
def last_states(
    decoder: CausalLM, prompts: Sequence[Sequence[int]], layers: Sequence[int], ledger: Ledger | None = None
) -> Tensor:
    """[N, S, D] in float32: the states after these layers at the last token of each prompt.

    What all prompts begin with, such as a list of labels, is computed once a pass. ledger: is charged for the passes.
    """
    return _states(decoder, prompts, layers, shared=_beginning(prompts), ledger=ledger)


@torch.no_grad()
def mean_states(decoder: CausalLM, texts: Sequence[Sequence[int]], layer: int) -> Tensor:
    """[N, D] in float32: the mean over a text's tokens of the states after a layer, in the place of a sentence encoder."""
    return _states(decoder, texts, [layer], shared=None)[:, 0]


def _states(
    decoder: CausalLM, prompts: Sequence[Sequence[int]], layers: Sequence[int], *, shared: int | None,
    ledger: Ledger | None = None,
) -> Tensor:  # fmt: skip
    """shared: tokens that all begin with, for the state at the end; None for the mean over all tokens of each."""
    device, shape = next(decoder.parameters()).device, decoder.config.shape
    found = torch.empty(len(prompts), len(layers), shape.width)
    documents = [Document(ids, ((shared, len(ids)),) if shared else ()) for ids in prompts]
    started = time.perf_counter()
    for members in micro_batches(documents, ROW):
        batch = collate([documents[i] for i in members], device)
        with watched_layers(decoder, layers) as seen:
            decoder(batch.tokens_L, batch.positions_L, Packed(batch.lengths, device, prefixes=batch.prefixes))
        for slot, state_LD in enumerate(seen):
            parts = torch.split(state_LD.float().cpu(), list(batch.lengths))
            rows = [part.mean(0) if shared is None else part[-1] for part in parts]
            found[torch.tensor(members), slot] = torch.stack(rows)
    if ledger is not None:
        tokens, _, pairs = work(documents)
        cost = forward_flops(shape, tokens, 0, pairs)
        ledger.charge("prepass", flops=cost, tokens=tokens, seconds=time.perf_counter() - started)
    return found


def flops_of(shape: Shape, some: Sequence[Sequence[int]], number: int) -> float:
    """What `last_states` of `number` prompts is charged with, about, where these are some of them."""
    shared = _beginning(some)
    documents = [Document(ids, ((shared, len(ids)),) if shared else ()) for ids in some]
    (first_tokens, _, first_pairs), (tokens, _, pairs) = work(documents[:1]), work(documents)
    more = (number - 1) / max(1, len(some) - 1)
    return forward_flops(
        shape, first_tokens + more * (tokens - first_tokens), 0, first_pairs + more * (pairs - first_pairs)
    )


def _beginning(prompts: Sequence[Sequence[int]]) -> int:
    """How many tokens all prompts begin with, each keeping one of its own."""
    if not prompts:
        return 0
    low, high = min(map(list, prompts)), max(map(list, prompts))  # all others begin as far as these two do
    same = next((place for place, (a, b) in enumerate(zip(low, high, strict=False)) if a != b), len(low))
    return min(same, min(map(len, prompts)) - 1)
