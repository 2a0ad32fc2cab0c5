"""Where a model looks: what positions receive, what the token that predicts attends to, and whether the first is a sink.

Sources: arXiv:2410.10781 (received attention and the sink), arXiv:2502.07490 (what hiding tokens changes).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from whit.core.types import Example
from whit.data.batch import Document
from whit.data.render import Renderer
from whit.data.transforms._positions import drawn, eligible, hidden
from whit.data.transforms._types import surroundings
from whit.models.attention import Packed
from whit.models.causal import CausalLM
from whit.models.load import Policy
from whit.prompting.zero_shot import zero_shot

SINK_LENGTH, SINK_SHARE = 64, 0.3  # the source's T and epsilon


@dataclass(frozen=True)
class Seen:
    """The attention of one text of L tokens, by layer and head, in float32.

    received_THL: of every position, the mean attention of those that can see it (itself among them).
    from_last_THL: what the last position gives to each.
    """

    received_THL: Tensor
    from_last_THL: Tensor


class Recorder:
    """Causal attention over one text whose weights are looked at. A layer's [H, L, L] weights exist one at a time."""

    def __init__(self, length: int, device: torch.device):
        self._plain = Packed([length], device)
        self.received: list[Tensor] = []
        self.from_last: list[Tensor] = []

    def __call__(self, layer: int, q_LHD: Tensor, k_LhD: Tensor, v_LhD: Tensor, scale: float, window: int) -> Tensor:
        weights_HLL = _weights(q_LHD, k_LhD, scale, window)
        seen_by_L = torch.arange(len(q_LHD), 0, -1, device=q_LHD.device)
        if window:
            seen_by_L = seen_by_L.clamp(max=window)
        self.received.append((weights_HLL.sum(1) / seen_by_L).cpu())
        self.from_last.append(weights_HLL[:, -1].cpu())
        return self._plain(layer, q_LHD, k_LhD, v_LhD, scale, window)


@torch.no_grad()
def look(decoder: CausalLM, ids: Sequence[int]) -> Seen:
    """The attention of a model over one text."""
    device = next(decoder.parameters()).device
    recorder = Recorder(len(ids), device)
    decoder(torch.tensor(ids, device=device), torch.arange(len(ids), device=device), recorder)
    return Seen(torch.stack(recorder.received), torch.stack(recorder.from_last))


def sink(seen: Seen, *, position: int = 0, share: float = SINK_SHARE) -> float:
    """The share of heads of all layers in which a position receives more than `share` of the attention.

    Comparable only between texts of one length: the source takes 64 tokens.
    """
    return float((seen.received_THL[:, :, position] > share).float().mean())


def hidden_effect(clean: Seen, masked: Seen, positions: Sequence[int]) -> dict[str, float]:
    """What hiding tokens does to the attention that positions receive.

    decay: by what share the hidden positions receive less. variance_gain: by what share the variance over the others grows.
    Both as means over layers and heads (inferred: the paper does not say over what it takes them).
    """
    is_hidden_L = torch.zeros(clean.received_THL.shape[-1], dtype=torch.bool)
    is_hidden_L[list(positions)] = True
    before, after = clean.received_THL[..., is_hidden_L].sum(-1), masked.received_THL[..., is_hidden_L].sum(-1)
    spread = [seen.received_THL[..., ~is_hidden_L].var(-1) for seen in (clean, masked)]
    return {
        "decay": float(((before - after) / before).mean()),
        "variance_gain": float(((spread[1] - spread[0]) / spread[0]).mean()),
    }


def profile(seen: Seen) -> dict[str, Any]:
    """By layer: the entropy of the last position's attention, nats, and its share on the first position."""
    last_THL = seen.from_last_THL
    entropy_T = -(last_THL * last_THL.clamp(min=1e-12).log()).sum(-1).mean(-1)
    return {"entropy": entropy_T.tolist(), "first": last_THL[..., 0].mean(-1).tolist()}


def measured(policy: Policy, renderer: Renderer, examples: Sequence[Example], share: float) -> dict[str, Any]:
    """Means over examples of what the token that begins the answer attends to, and of the other measures.

    share: of the prompt's tokens that are hidden for `hidden_effect`; 0, or a model without a mask token, leaves it out.
    "answer" and "before" are by layer the shares given to the gold answer, where it stands in the prompt, and to what comes
    before it. "sink" is over the first 64 tokens of prompts that are as long.
    """
    rows: dict[str, list[Tensor]] = {}
    mask_id = policy.tokenizer.mask_token_id
    words = surroundings(policy.tokenizer, mask_id, renderer.max_length, []) if share and mask_id is not None else None
    for index, example in enumerate(examples):
        ids = renderer.prompt(zero_shot(example))
        seen = look(policy.decoder, ids)
        found = {name: torch.tensor(values) for name, values in profile(seen).items()}
        if place := renderer.places(zero_shot(example), example.gold):
            mean_TL = seen.from_last_THL.mean(1)
            found |= {"answer": mean_TL[:, slice(*place)].sum(-1), "before": mean_TL[:, : place[0]].sum(-1)}
        if len(ids) >= SINK_LENGTH:
            found["sink"] = torch.tensor(sink(look(policy.decoder, ids[:SINK_LENGTH])))
        if words is not None:
            document = Document(ids, ())
            positions = drawn(eligible(document, words, keep_answer=False), share, 0, index)
            masked = look(policy.decoder, hidden(document, positions, words.mask_id))
            found |= {name: torch.tensor(value) for name, value in hidden_effect(seen, masked, positions).items()}
        for name, values in found.items():
            rows.setdefault(name, []).append(values)
    means = {name: torch.stack(values).mean(0).tolist() for name, values in rows.items()}
    return {**means, "examples": len(examples), "with_answer": len(rows.get("answer", []))}


def _weights(q_LHD: Tensor, k_LhD: Tensor, scale: float, window: int) -> Tensor:
    q, k = q_LHD.float().transpose(0, 1), k_LhD.float().transpose(0, 1)
    k = k.repeat_interleave(q.shape[0] // k.shape[0], dim=0)
    places_L = torch.arange(q.shape[1], device=q.device)
    distance_LL = places_L[:, None] - places_L
    is_seen_LL = (distance_LL >= 0) & (distance_LL < window) if window else distance_LL >= 0
    return (q @ k.transpose(1, 2) * scale).masked_fill(~is_seen_LL, float("-inf")).softmax(-1)
