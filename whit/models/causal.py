"""What the training loop and the engine ask of a model, whether its layers are ours or transformers'."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, Protocol

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn

from whit.core.flops import Shape
from whit.models.attention import Attention


class Facts(Protocol):
    """What is known of a model without its weights. raw: the content of its config.json."""

    @property
    def shape(self) -> Shape: ...
    @property
    def max_length(self) -> int: ...
    @property
    def raw(self) -> Mapping[str, Any]: ...


class Head(NamedTuple):
    """The output head: weight [V, D], the soft cap of the logits (0: none), bias [V]."""

    weight: Tensor
    softcap: float = 0.0
    bias: Tensor | None = None


class CausalLM(nn.Module):
    """A causal language model on packed rows. Interface: a model defines `forward`, `head` and `layers`.

    recompute: gradient checkpointing, a layer at a time. head_product: set while the weights are prepacked.
    never: ids that the engine does not sample, such as a mask token.
    """

    config: Facts
    recompute: bool
    head_product: Callable[[Tensor], Tensor] | None = None
    never: tuple[int, ...] = ()
    _never: Tensor | None = None

    def forward(self, tokens_L: Tensor, positions_L: Tensor, attention: Attention) -> Tensor:
        """Hidden states [L, D] of the tokens at their positions (0 at the start of each document)."""
        raise NotImplementedError

    def head(self) -> Head:
        """What turns a hidden state into logits."""
        raise NotImplementedError

    def layers(self) -> Sequence[nn.Module]:
        """Its layers in order; each gives hidden states, [L, D] or [1, L, D], alone or first in a tuple."""
        raise NotImplementedError

    def forbid(self, logits_BV: Tensor) -> Tensor:
        """The logits, in place, under which nothing of `never` is sampled."""
        if not self.never:
            return logits_BV
        if self._never is None or len(self._never) != len(self.never) or self._never.device != logits_BV.device:
            self._never = torch.tensor(self.never, device=logits_BV.device)  # kept: a captured step copies nothing in
        return logits_BV.index_fill_(1, self._never, float("-inf"))

    def logits(self, hidden_TD: Tensor) -> Tensor:
        """Logits [T, V] in the dtype of the weights."""
        weight_VD, cap, bias_V = self.head()
        logits_TV = self.head_product(hidden_TD) if self.head_product else F.linear(hidden_TD, weight_VD, bias_V)
        return torch.tanh(logits_TV / cap) * cap if cap else logits_TV
