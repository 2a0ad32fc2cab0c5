"""Floating-point operations counted by the shape of the model: the unit in which pipelines are made equal.

Matrix products only, 2 operations per multiply-add: the body on every token, the head on scored rows, attention on the
causal half. A backward pass costs twice its forward. Recomputation, padding and rejected drafts are not charged.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Shape:
    """The sizes of a decoder that decide its cost."""

    vocab_size: int
    width: int
    num_layers: int
    num_heads: int
    num_kv_heads: int
    head_size: int
    intermediate: int
    is_tied: bool = True

    @property
    def body_parameters(self) -> int:
        """Weights of the layers that take part in matrix products."""
        attention = self.width * self.head_size * (2 * self.num_heads + 2 * self.num_kv_heads)
        return self.num_layers * (attention + 3 * self.width * self.intermediate)

    @property
    def head_parameters(self) -> int:
        """Weights of the output head."""
        return self.vocab_size * self.width

    @property
    def parameters(self) -> int:
        """All matrix weights, a tied head counted once."""
        return self.body_parameters + self.head_parameters * (1 if self.is_tied else 2)


def forward_flops(shape: Shape, num_tokens: float, num_scored: float, num_pairs: float) -> float:
    """One forward pass.

    num_tokens: tokens through the body. num_scored: rows through the head.
    num_pairs: query-key pairs that attend, summed over sequences: L (L + 1) / 2 for a causal sequence of L tokens.
    """
    attention = 4 * shape.num_layers * shape.num_heads * shape.head_size * num_pairs
    return 2 * shape.body_parameters * num_tokens + 2 * shape.head_parameters * num_scored + attention


def train_flops(shape: Shape, num_tokens: float, num_scored: float, num_pairs: float, lora_rank: int = 0) -> float:
    """A forward and a backward pass.

    With LoRA the frozen weights need no gradients: 4 operations a weight and token. Attention has no weights and costs the
    same; the adapters, of all seven linear layers, come in full.
    """
    forward = forward_flops(shape, num_tokens, num_scored, num_pairs)
    if not lora_rank:
        return 3 * forward
    sizes = (
        4 * shape.width
        + 2 * shape.head_size * (shape.num_heads + shape.num_kv_heads)
        + 3 * (shape.width + shape.intermediate)
    )
    attention = forward_flops(shape, 0, 0, num_pairs)
    return 2 * forward + attention + 6 * shape.num_layers * lora_rank * sizes * num_tokens


def causal_pairs(*lengths: float) -> float:
    """Query-key pairs of causal sequences of these lengths, without attention across sequences."""
    return sum(length * (length + 1) / 2 for length in lengths)


def decode_pairs(prompt: float, completion: float) -> float:
    """Query-key pairs of decoding `completion` tokens after a cached prompt."""
    return completion * prompt + completion * (completion + 1) / 2
