"""Any other causal language model, run by transformers with our attention in its layers.

transformers lets a model's attention be replaced by a function. Ours hands the projections of a layer to the attention
object of the pass, so packing, caching, the engine and the loop work as they do on our own decoder. Whether an
architecture really leaves everything between tokens to that function is measured when it is loaded.
"""

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from copy import deepcopy
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from whit.core.errors import ModelError
from whit.core.flops import Shape
from whit.core.rundir import saving
from whit.models.attention import Attention, Packed
from whit.models.causal import CausalLM, Head

NAME = "whit"  # of our function in transformers' table of attention functions
LAYER_TYPES = {"full_attention", "sliding_attention"}
# Rope that is another one beyond the original length: tokens packed in one row have to agree on it.
CHANGING_ROPES = ("dynamic", "longrope")
PROBE_LENGTHS = [7, 5]
# Mean difference of logits, in their standard deviations, that rounding explains in float32 (measured: 1e-6).
MAX_DIFFERENCE = 1e-3


@dataclass(frozen=True)
class HubConfig:
    """What is known of a model that transformers runs. `shape.intermediate` is chosen so that its cost comes out right."""

    shape: Shape
    max_length: int
    raw: Mapping[str, Any] = field(default_factory=dict, hash=False, compare=False)


@dataclass(frozen=True)
class _Pass:
    """What our attention function needs to know of the forward pass that calls it."""

    attention: Attention
    recompute: bool


_current: ContextVar[_Pass | None] = ContextVar("whit_pass", default=None)


class HubDecoder(CausalLM):
    """A model of transformers behind the interface of our own decoder. It has no dropout and no noise."""

    config: HubConfig

    def __init__(self, network: Any, raw: Mapping[str, Any]):
        super().__init__()
        self.network = network
        self.recompute = False
        text = network.config.get_text_config()
        self.scale = float(getattr(text, "logit_scale", None) or 1 / (getattr(text, "logits_scaling", None) or 1))
        self.softcap = float(getattr(text, "final_logit_softcapping", None) or 0)
        self.config = HubConfig(_measure(self, text), _max_length(text), dict(raw))

    def forward(self, tokens_L: Tensor, positions_L: Tensor, attention: Attention) -> Tensor:
        with _passing(_Pass(attention, self.recompute)):
            out = self.network.base_model(input_ids=tokens_L[None], position_ids=positions_L[None], use_cache=False)
        hidden_LD: Tensor = out.last_hidden_state[0]
        return hidden_LD if self.scale == 1 else hidden_LD * self.scale

    def head(self) -> Head:
        linear = self.network.get_output_embeddings()
        return Head(linear.weight, self.softcap, linear.bias)

    def layers(self) -> list[nn.Module]:
        return list(self.network.base_model.layers)

    def save(self, directory: Path, dtype: torch.dtype | None = None) -> None:
        """A directory that transformers loads unchanged, with the config that the model came with."""
        network = self.network if dtype in (None, self.network.dtype) else deepcopy(self.network).to(dtype)
        config = {**self.config.raw, "dtype": str(network.dtype).removeprefix("torch.")}
        config.pop("torch_dtype", None)
        with saving(directory):
            network.save_pretrained(directory)
            (directory / "config.json").write_text(json.dumps(config, indent=2, sort_keys=True) + "\n")


def load_hub(path: Path, *, dtype: torch.dtype = torch.float32, device: str = "cpu") -> HubDecoder:
    """The model of a directory whose architecture decoder.py does not cover.

    Raises ModelError when transformers does not know it, or when its layers cannot run with our attention.
    """
    from transformers import AutoConfig, AutoModelForCausalLM
    from transformers.modeling_layers import GradientCheckpointingLayer
    from transformers.modeling_utils import AttentionInterface
    from transformers.utils import logging

    AttentionInterface.register(NAME, _attend)
    logging.disable_progress_bar()  # of weights on this disk
    raw = json.loads((path / "config.json").read_text())
    try:
        config = AutoConfig.from_pretrained(path, trust_remote_code=False)
    except Exception as error:
        raise ModelError(f"transformers cannot read {path / 'config.json'}: {_first_line(error)}") from error
    _refuse(config, path)
    for name, value in vars(config).items():
        if ("drop" in name or "jitter" in name) and isinstance(value, float):
            setattr(config, name, 0.0)
    # Measured in float32: rounding to bfloat16 alone moves the logits of Qwen2.5 by a fifth of their standard deviation.
    wide = torch.promote_types(dtype, torch.float32)
    try:
        network, report = AutoModelForCausalLM.from_pretrained(
            path, config=config, dtype=wide, attn_implementation=NAME, trust_remote_code=False, use_safetensors=True,
            output_loading_info=True,
        )  # fmt: skip
    except Exception as error:
        raise ModelError(f"transformers cannot load the model in {path}: {_first_line(error)}") from error
    if unfit := sorted(map(str, [*report["missing_keys"], *report["mismatched_keys"]])):
        raise ModelError(f"{path}: weights do not fit config.json; missing or of another shape: {unfit[:3]}.")
    for layer in network.modules():
        if isinstance(layer, GradientCheckpointingLayer):
            layer.gradient_checkpointing, layer._gradient_checkpointing_func = True, _recompute
    network.train()  # transformers recomputes in training mode only, and there is no dropout left
    try:
        decoder = HubDecoder(network.to(device), raw)
    except Exception as error:
        raise _refusal(path, config, _first_line(error)) from error
    for parameter in network.parameters():  # and not the buffers: rotary frequencies stay in float32
        parameter.data = parameter.data.to(dtype)
    return decoder


def hub_shape(path: Path) -> Shape:
    """The sizes of such a model without its weights, as its config tells them. Raises ModelError as `load_hub` does."""
    from transformers import AutoConfig, AutoModelForCausalLM

    try:
        config = AutoConfig.from_pretrained(path, trust_remote_code=False)
        _refuse(config, path)
        with torch.device("meta"):
            network = AutoModelForCausalLM.from_config(config, trust_remote_code=False)
    except ModelError:
        raise
    except Exception as error:
        raise ModelError(f"transformers cannot read {path / 'config.json'}: {_first_line(error)}") from error
    text = config.get_text_config()
    num_heads = text.num_attention_heads
    head_size = getattr(text, "head_dim", None) or text.hidden_size // num_heads
    num_kv_heads = getattr(text, "num_key_value_heads", None) or num_heads
    return _shape(network, text, num_heads, num_kv_heads, head_size)


class _UnfitError(Exception):
    """Why a model cannot run with our attention."""


def _attend(
    module: Any, query: Tensor, key: Tensor, value: Tensor, attention_mask: Tensor | None,
    scaling: float | None = None, sliding_window: int | None = None, **more: Any,
) -> tuple[Tensor, None]:  # fmt: skip
    """Our function in transformers' table: [1, heads, L, D] in, [1, L, heads, D] out."""
    for name in ("softcap", "s_aux", "position_bias"):
        if more.get(name) is not None:
            raise _UnfitError(f"its attention needs '{name}', which whit's has not")
    if attention_mask is not None or query.shape[0] != 1 or key.shape[-1] != value.shape[-1]:
        raise _UnfitError("its attention is not causal attention of one row with keys and values of one size")
    q_LHD, k_LhD, v_LhD = (x[0].transpose(0, 1) for x in (query, key, value))
    scale = query.shape[-1] ** -0.5 if scaling is None else float(scaling)
    layer = getattr(module, "layer_idx", None)
    if layer is None:
        raise _UnfitError("its attention does not know which layer it is in")
    current = _current.get()
    assert current is not None, "a model of whit's runs through HubDecoder.forward"
    return current.attention(layer, q_LHD, k_LhD, v_LhD, scale, sliding_window or 0)[None], None


@contextmanager
def _passing(current: _Pass) -> Iterator[None]:
    token = _current.set(current)
    try:
        yield
    finally:
        _current.reset(token)


def _recompute(function: Callable[..., Any], *inputs: Any) -> Any:
    """Run a layer, under gradient checkpointing if this pass asks for it; the backward pass sees the same attention."""
    current = _current.get()
    if current is None or not (current.recompute and torch.is_grad_enabled()):
        return function(*inputs)

    def again(*inputs: Any) -> Any:
        with _passing(current):
            return function(*inputs)

    return checkpoint(again, *inputs, use_reentrant=False)


def _refuse(config: Any, path: Path) -> None:
    """Refuse what is known to need more than causal attention, before its weights are read."""
    from transformers import AutoModelForCausalLM

    text = config.get_text_config()
    if config.is_encoder_decoder:
        raise _refusal(path, config, "it has an encoder")
    if type(config) not in AutoModelForCausalLM._model_mapping:
        raise _refusal(path, config, "transformers has no causal language model of it")
    network = AutoModelForCausalLM._model_mapping[type(config)]
    if network._is_stateful or not network._can_set_attn_implementation():
        raise _refusal(path, config, "it carries a state from token to token, or has attention that cannot be replaced")
    if others := set(getattr(text, "layer_types", None) or ()) - LAYER_TYPES:
        raise _refusal(path, config, f"it has layers of the kind {sorted(others)[0]}")
    if getattr(text, "attention_chunk_size", None):
        raise _refusal(path, config, "it attends in chunks")


@torch.no_grad()
def _measure(decoder: HubDecoder, config: Any) -> Shape:
    """Sizes as they appear in a forward pass, which has to give what transformers' own attention gives."""
    network, seen = decoder.network, _Probe(PROBE_LENGTHS, next(decoder.parameters()).device)
    tokens_L = torch.linspace(0, decoder.head().weight.shape[0] - 1, sum(PROBE_LENGTHS), device=seen.device).long()
    positions_L = torch.cat([torch.arange(n, device=seen.device) for n in PROBE_LENGTHS])
    got_LV = decoder.logits(decoder(tokens_L, positions_L, seen)).double()
    network.set_attn_implementation("eager")
    documents = torch.split(tokens_L, PROBE_LENGTHS)
    expected_LV = torch.cat([network(document[None], use_cache=False).logits[0] for document in documents]).double()
    network.set_attn_implementation(NAME)
    num_layers = config.num_hidden_layers
    kinds = getattr(config, "layer_types", None) or ["sliding_attention" if _window(config) else ""] * num_layers
    if seen.layers != list(range(num_layers)) or len(set(seen.heads)) > 1:
        raise _UnfitError("its layers do not all attend once, with heads of the same number and size")
    if [window > 0 for window in seen.windows] != [kind == "sliding_attention" for kind in kinds]:
        raise _UnfitError("its attention is not told of its sliding windows")
    difference = float((got_LV - expected_LV).abs().mean() / expected_LV.std())
    if not difference < MAX_DIFFERENCE:
        raise _UnfitError(f"with whit's attention its logits are off by {difference:.1g} of their standard deviation")
    return _shape(network, config, *seen.heads[0])


def _shape(network: Any, config: Any, num_heads: int, num_kv_heads: int, head_size: int) -> Shape:
    head = network.get_output_embeddings().weight
    (vocab_size, width), num_layers = head.shape, config.num_hidden_layers
    rest = _matrix_weights(network.base_model, config) / num_layers - 2 * width * head_size * (num_heads + num_kv_heads)
    return Shape(
        vocab_size, width, num_layers, num_heads, num_kv_heads, head_size,
        intermediate=max(0, round(rest / (3 * width))), is_tied=head is network.get_input_embeddings().weight,
    )  # fmt: skip


class _Probe:
    """Packed attention that notes how each layer called it."""

    def __init__(self, lengths: list[int], device: torch.device):
        self.device, self.attention = device, Packed(lengths, device)
        self.layers: list[int] = []
        self.heads: list[tuple[int, int, int]] = []
        self.windows: list[int] = []

    def __call__(self, layer: int, q_LHD: Tensor, k_LhD: Tensor, v_LhD: Tensor, scale: float, window: int) -> Tensor:
        self.layers.append(layer)
        self.heads.append((q_LHD.shape[1], k_LhD.shape[1], k_LhD.shape[2]))
        self.windows.append(window)
        return self.attention(layer, q_LHD, k_LhD, v_LhD, scale, window)


def _matrix_weights(network: nn.Module, config: Any) -> float:
    """Weights that a token is multiplied with, embeddings apart; of a layer's experts, as many as a token visits."""
    total = 0.0
    for module in network.modules():
        for weight in () if isinstance(module, nn.Embedding) else module.parameters(recurse=False):
            if weight.dim() == 3:
                total += weight.numel() * config.num_experts_per_tok / weight.shape[0]
            elif weight.dim() == 2:
                total += weight.numel()
    return total


def _window(config: Any) -> int:
    return getattr(config, "sliding_window", None) or 0


def _max_length(config: Any) -> int:
    length = getattr(config, "max_position_embeddings", None) or 2048
    rope = getattr(config, "rope_parameters", None) or {}
    if rope.get("rope_type") in CHANGING_ROPES:
        length = min(length, rope.get("original_max_position_embeddings") or length)
    return int(length)


def _refusal(path: Path, config: Any, reason: str) -> ModelError:
    return ModelError(
        f"{path}: whit cannot run a model of type '{config.model_type}': {reason}. "
        "Take a Llama-, Qwen-, Gemma- or GPT-like model."
    )


def _first_line(error: Exception) -> str:
    return str(error).strip().partition("\n")[0].rstrip(".") or type(error).__name__
