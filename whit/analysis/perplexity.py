"""How well a model predicts plain text, or solutions after their prompts: nats a token, bits a byte."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch

from whit.core.errors import DataError, TemplateError, UsageError
from whit.core.types import Interval, Message
from whit.data.batch import Document, collate
from whit.data.render import Renderer
from whit.data.sharing import micro_batches
from whit.models.load import Policy
from whit.stats.intervals import ratio_of_sums
from whit.training.signals import score

TOKENS = 4096  # of a pass


@dataclass(frozen=True)
class Predicted:
    """perplexity: exp(nats a token). nats_per_token, bits_per_byte: with intervals over texts; one text alone has none.

    tokens, bytes: that are predicted: the first token of a plain text is given, where the tokenizer puts no mark before it.
    too_long: texts left out for the context; too_short: with no token to predict.
    """

    perplexity: float
    nats_per_token: Interval
    bits_per_byte: Interval
    tokens: int
    bytes: int
    texts: int
    too_long: int = 0
    too_short: int = 0


def perplexity(policy: Policy, texts: Sequence[str], *, window: int | None = None) -> Predicted:
    """Each text alone. One longer than `window` tokens (None: the model's context) is read in windows that begin half of it
    further on, and each token is predicted from the longest context that it has in one.

    Raises DataError where no text has two tokens.
    """
    if window is not None and window < 2:
        raise UsageError(f"window={window}: a token is predicted from one before it. Give 2 or more.")
    limit = min(window or policy.decoder.config.max_length, policy.decoder.config.max_length)
    mark = _beginning(policy.tokenizer)
    pieces: list[Document] = []
    owner: list[int] = []
    tokens, sizes = [0] * len(texts), [0] * len(texts)
    for index, text in enumerate(texts):
        ids, first = _split(policy.tokenizer, text)
        if mark:
            ids, first = [*mark, *ids], 0
        if len(ids) < 2:
            continue
        tokens[index], sizes[index] = len(ids) - 1, len(text.encode()) - first
        for start, first, end in windows(len(ids), limit):
            pieces.append(Document(ids[start:end], ((first - start, end - start),)))
            owner.append(index)
    if not pieces:
        raise DataError("no text has two tokens or more: there is nothing to predict. Give longer texts.")
    nats = [0.0] * len(texts)
    for index, lost in zip(owner, _nats(policy, pieces), strict=True):
        nats[index] += lost
    used = [index for index, size in enumerate(sizes) if size]
    found = _predicted([nats[i] for i in used], [tokens[i] for i in used], [sizes[i] for i in used])
    return replace(found, too_short=len(texts) - len(used))


def solution_loss(
    policy: Policy, renderer: Renderer, solutions: Sequence[tuple[Sequence[Message], str]],
    groups: Sequence[object] | None = None,
) -> Predicted:  # fmt: skip
    """Completions given their prompts: the loss of fine-tuning, with the token that ends the turn, which has no bytes.

    groups: solutions of one group vary together; None takes each for itself.
    Those that do not fit the context with their prompts are left out and counted. Raises DataError where none fits.
    """
    documents: list[Document] = []
    sizes, own = [], list[object]()
    for (messages, text), group in zip(solutions, groups or range(len(solutions)), strict=True):
        try:
            documents.append(renderer.document(messages, text))
        except TemplateError:
            continue
        sizes.append(len(text.encode()))
        own.append(group)
    if not documents:
        raise DataError(
            f"none of {len(solutions)} solutions fits the model's context of {renderer.max_length} tokens with its prompt. "
            "Use a model with a longer context."
        )
    tokens = [document.num_supervised for document in documents]
    found = _predicted(_nats(policy, documents), tokens, sizes, own)
    return replace(found, too_long=len(solutions) - len(documents))


def _nats(policy: Policy, documents: Sequence[Document]) -> list[float]:
    """What the supervised tokens of each document cost."""
    nats, device = [0.0] * len(documents), next(policy.decoder.parameters()).device
    for members in micro_batches(documents, TOKENS):
        batch = collate([documents[i] for i in members], device)
        logprobs_T = score(policy.decoder, batch)[0].to(torch.float64).cpu()
        for place, member in enumerate(members):
            nats[member] = -float(logprobs_T[batch.sequence_T.cpu() == place].sum())
    return nats


def _predicted(
    nats: Sequence[float], tokens: Sequence[int], sizes: Sequence[int], groups: Sequence[object] | None = None
) -> Predicted:
    loss = ratio_of_sums(nats, tokens, groups)
    bits = ratio_of_sums([lost / math.log(2) for lost in nats], sizes, groups)
    return Predicted(math.exp(loss.estimate), loss, bits, sum(tokens), sum(sizes), len(nats))


def _beginning(tokenizer: Any) -> list[int]:
    """The mark that a tokenizer puts before every text, as those of Llama 3 and Gemma do: a model was trained with it."""
    bos = tokenizer.bos_token_id
    return [bos] if bos is not None and list(tokenizer("a")["input_ids"])[:1] == [bos] else []


def _split(tokenizer: Any, text: str) -> tuple[list[int], int]:
    """The token ids of a text, and how many of its bytes the first of them stands for."""
    if not tokenizer.is_fast:
        ids = list(tokenizer(text, add_special_tokens=False)["input_ids"])
        return ids, len(tokenizer.decode(ids[:1]).encode())
    encoded = tokenizer(text, add_special_tokens=False, return_offsets_mapping=True)
    ends = encoded["offset_mapping"]
    return list(encoded["input_ids"]), len(text[: ends[1][0]].encode()) if len(ends) > 1 else 0


def windows(length: int, limit: int) -> list[tuple[int, int, int]]:
    """(start, first predicted, end) of each window over `length` tokens: every token but the first is predicted once."""
    found = [(0, 1, min(limit, length))]
    while found[-1][2] < length:
        done = found[-1][2]
        end = min(length, done + max(1, limit // 2))
        found.append((end - limit, done, end))
    return found


def bits_per_byte(policy: Policy, texts: Sequence[str]) -> float:
    """Of all texts together; NaN where the tokenizer makes nothing of them."""
    try:
        return perplexity(policy, texts).bits_per_byte.estimate
    except DataError:
        return math.nan
