"""One token more of each sequence through a whole decoder in one call, in bfloat16 on a CPU: `decode.cpp` from Python."""

import ctypes
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from whit.kernels.build import native

MODEL = ("embedding", "norm", "head", "cosine", "sine")
LAYER = (
    "norm", "q", "k", "v", "q_bias", "k_bias", "v_bias", "q_norm", "k_norm", "o", "mlp_norm", "gate", "up", "down", "keys",
    "values",
)  # fmt: skip
PRODUCTS = ("head", "q", "k", "v", "o", "gate", "up", "down")  # whose weights are packed
COLUMNS = 32  # as in decode.cpp
SIZES = ("num_layers", "width", "num_heads", "num_kv_heads", "head_size", "intermediate", "vocab_size")


class _Model(ctypes.Structure):
    _fields_ = [
        *((name, ctypes.c_void_p) for name in MODEL),
        *((name, ctypes.c_int64) for name in SIZES),
        ("eps", ctypes.c_float),
        ("scale", ctypes.c_float),
    ]  # fmt: skip


class _Layer(ctypes.Structure):
    _fields_ = [(name, ctypes.c_void_p) for name in LAYER]


@dataclass(frozen=True)
class Weights:
    """A decoder's tensors, bfloat16 and contiguous, under the names of MODEL and LAYER.

    layers: biases and norms of heads may be left out. keys, values: caches [slots, h, length, D]. cosine, sine: angles
        [positions, D] of the rotary positions. sizes: by the names of SIZES.
    """

    model: Mapping[str, Tensor]
    layers: Sequence[Mapping[str, Tensor]]
    sizes: Mapping[str, int]
    eps: float
    scale: float


class Decode:
    """Calls `decode` on a copy of the weights that is laid out for it; it is true as long as they do not change."""

    def __init__(self, weights: Weights):
        self.sizes, self.length = weights.sizes, weights.layers[0]["keys"].shape[2]
        tables = [weights.model, *weights.layers]
        assert all(t.is_contiguous() and t.dtype == torch.bfloat16 for table in tables for t in table.values())
        sizes = [_packed_size(t) for table in tables for name, t in table.items() if name in PRODUCTS]
        self._packed, self._used = torch.empty(sum(sizes), dtype=torch.bfloat16), 0
        self._kept = [{name: self._placed(name, t) for name, t in table.items()} for table in tables]
        model, *layers = [{name: t.data_ptr() for name, t in table.items()} for table in self._kept]
        self._model = _Model(**model, **weights.sizes, eps=weights.eps, scale=weights.scale)
        self._layers = (_Layer * len(layers))(*(_Layer(**layer) for layer in layers))

    def _placed(self, name: str, tensor: Tensor) -> Tensor:
        if name not in PRODUCTS:
            return tensor
        outputs, inputs = tensor.shape
        place = self._packed[self._used : self._used + _packed_size(tensor)]
        self._used += len(place)
        native().pack(tensor.data_ptr(), place.data_ptr(), outputs, inputs, torch.get_num_threads())
        return place

    def __call__(self, tokens_B: Tensor, positions_B: Tensor) -> Tensor:
        """Logits [B, V] after the new tokens, which stand at these positions of the first B slots; int64."""
        logits_BV = torch.empty(len(tokens_B), self.sizes["vocab_size"], dtype=torch.bfloat16)
        native().decode(
            ctypes.byref(self._model), self._layers, tokens_B.data_ptr(), positions_B.data_ptr(), logits_BV.data_ptr(),
            len(tokens_B), self.length, torch.get_num_threads(),
        )  # fmt: skip
        return logits_BV


def _packed_size(weight_ND: Tensor) -> int:
    outputs, inputs = weight_ND.shape
    return -(-outputs // COLUMNS) * COLUMNS * inputs
