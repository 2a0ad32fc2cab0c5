"""A token that stands for a hidden one, for any tokenizer: it is read and never written."""

from dataclasses import replace

import torch
from torch import Tensor, nn

from whit.core.errors import ModelError
from whit.models.decoder import Decoder
from whit.models.hub import HubConfig, HubDecoder
from whit.models.load import Policy

MASK = "[MASK]"
ROWS = 64  # a vocabulary that has to grow ends at a multiple, as matrix products like it


@torch.no_grad()
def add_mask_token(policy: Policy) -> int:
    """The id of the policy's mask token; a policy that has none gets one, which its engine never samples.

    It takes a spare row of the embedding where there is one; else the embedding grows. New rows begin as the mean of the
    others (inferred: the reference of MEAP, arXiv:2502.07490, leaves them to chance). With a tied head they are rows of the
    head too: they are never a label, so training takes their probability down. Adapters leave the row as it begins.
    """
    tokenizer, decoder = policy.tokenizer, policy.decoder
    had = tokenizer.mask_token_id
    if had is None:
        tokenizer.add_special_tokens({"mask_token": MASK})
    mask_id, rows = int(tokenizer.mask_token_id), decoder.config.shape.vocab_size
    if mask_id in decoder.never:
        return mask_id
    size = rows if mask_id < rows else -(-(mask_id + 1) // ROWS) * ROWS
    if isinstance(decoder, Decoder):
        _grow(decoder, size)
    else:
        assert isinstance(decoder, HubDecoder)
        _grow_hub(decoder, size)
    if had is None:
        weight_VD = _embedding(decoder).weight
        mean_D = weight_VD[: min(mask_id, rows)].float().mean(0).to(weight_VD.dtype)
        weight_VD[mask_id] = mean_D
        weight_VD[rows:] = mean_D
        if decoder.head().weight is not weight_VD:
            decoder.head().weight[mask_id] = 0.0
            decoder.head().weight[rows:] = 0.0
    decoder.never = tuple(sorted({*decoder.never, mask_id, *range(rows, size)}))
    return mask_id


def _embedding(decoder: Decoder | HubDecoder) -> nn.Embedding:
    if isinstance(decoder, Decoder):
        return decoder.model.embed_tokens
    return decoder.network.get_input_embeddings()  # type: ignore[no-any-return]


def _grow(decoder: Decoder, size: int) -> None:
    """More rows of zeros for the embedding and the head."""
    config = decoder.config
    if size == config.shape.vocab_size:
        return
    embedding = decoder.model.embed_tokens
    embedding.weight, embedding.num_embeddings = _longer(embedding.weight, size), size
    decoder.lm_head.weight = embedding.weight if config.shape.is_tied else _longer(decoder.lm_head.weight, size)
    decoder.lm_head.out_features = size
    raw = {**config.raw, "vocab_size": size}
    decoder.config = decoder.model.config = replace(config, shape=replace(config.shape, vocab_size=size), raw=raw)


def _longer(weight_VD: Tensor, size: int) -> nn.Parameter:
    more = weight_VD.new_zeros(size - len(weight_VD), weight_VD.shape[1])
    return nn.Parameter(torch.cat([weight_VD, more]), requires_grad=weight_VD.requires_grad)


def _grow_hub(decoder: HubDecoder, size: int) -> None:
    config = decoder.config
    if size == config.shape.vocab_size:
        return
    if "vocab_size" not in config.raw:
        raise ModelError(
            "the model has no mask token and no spare row in its embedding, and its config.json does not name vocab_size, "
            "so it cannot get one. Take a tokenizer with a mask token, or a model that whit runs itself."
        )
    decoder.network.resize_token_embeddings(size, mean_resizing=False)
    shape = replace(config.shape, vocab_size=size)
    decoder.config = HubConfig(shape, config.max_length, {**config.raw, "vocab_size": size})
