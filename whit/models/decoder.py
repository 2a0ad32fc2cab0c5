"""One definition of the small decoders: Llama-like (SmolLM2), Qwen2 / 2.5 / 3 and Gemma-3.

Tokens come as one packed row [L], whatever the number of documents; `attention` decides who sees whom. Module names are
Hugging Face's, so that a state dict is the content of `model.safetensors`. The head is apart: the training loop gathers
the supervised rows first and never forms [tokens, vocabulary].
"""

import math
from collections.abc import Callable

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from whit.kernels.ops import rms_norm, rotate, silu_mul
from whit.models.attention import Attention
from whit.models.causal import CausalLM, Head
from whit.models.config import DecoderConfig, Rope

GATES: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "silu": silu_mul,
    "gelu_pytorch_tanh": lambda gate, up: F.gelu(gate, approximate="tanh") * up,
    "gelu": lambda gate, up: F.gelu(gate) * up,
}


class Decoder(CausalLM):
    """A causal language model: `forward` gives the hidden states after the last norm, `logits` applies the head."""

    config: DecoderConfig

    def __init__(self, config: DecoderConfig):
        super().__init__()
        self.config = config
        self.model = _Backbone(config)
        shape = config.shape
        self.lm_head = nn.Linear(shape.width, shape.vocab_size, bias=False)
        if shape.is_tied:
            self.lm_head.weight = self.model.embed_tokens.weight
        self.recompute = False

    def forward(self, tokens_L: Tensor, positions_L: Tensor, attention: Attention) -> Tensor:
        return self.model(tokens_L, positions_L, attention, self.recompute and torch.is_grad_enabled())  # type: ignore[no-any-return]

    def head(self) -> Head:
        return Head(self.lm_head.weight, self.config.final_softcap)

    def layers(self) -> list[nn.Module]:
        return list(self.model.layers)

    def initialise(self, generator: torch.Generator, std: float = 0.02) -> None:
        """Weights for training from nothing: normal, residual outputs scaled down by depth (GPT-2's rule)."""
        residual_std = std / math.sqrt(2 * self.config.shape.num_layers)
        for name, parameter in self.named_parameters():
            if parameter.dim() == 1:
                nn.init.constant_(parameter, 0.0 if self.config.is_gemma or name.endswith("bias") else 1.0)
            else:
                is_output = name.endswith(("o_proj.weight", "down_proj.weight"))
                with torch.no_grad():
                    parameter.normal_(0.0, residual_std if is_output else std, generator=generator)


class _Backbone(nn.Module):
    def __init__(self, config: DecoderConfig):
        super().__init__()
        shape = config.shape
        self.embed_tokens = nn.Embedding(shape.vocab_size, shape.width)
        self.layers = nn.ModuleList(_Layer(config, index) for index in range(shape.num_layers))
        self.norm = _Norm(shape.width, config)
        self.config = config

    def forward(self, tokens_L: Tensor, positions_L: Tensor, attention: Attention, recompute: bool) -> Tensor:
        x_LD = self.embed_tokens(tokens_L)
        if self.config.is_gemma:  # the scale is rounded to the weights' dtype, as published
            x_LD = x_LD * torch.tensor(self.config.shape.width**0.5, dtype=x_LD.dtype).item()
        ropes = {rope: angles(rope, positions_L, self.config.shape.head_size, x_LD.dtype) for rope in self._ropes()}
        for layer, window in zip(self.layers, self.config.windows, strict=True):
            rope = ropes[self.config.local_rope if window else self.config.rope]
            if recompute:
                x_LD = checkpoint(layer, x_LD, rope, attention, use_reentrant=False)
            else:
                x_LD = layer(x_LD, rope, attention)
        return self.norm(x_LD)  # type: ignore[no-any-return]

    def _ropes(self) -> set[Rope]:
        return {self.config.rope, self.config.local_rope} if any(self.config.windows) else {self.config.rope}


class _Layer(nn.Module):
    def __init__(self, config: DecoderConfig, index: int):
        super().__init__()
        width = config.shape.width
        self.self_attn = _SelfAttention(config, index)
        self.mlp = _Mlp(config)
        self.input_layernorm = _Norm(width, config)
        self.post_attention_layernorm = _Norm(width, config)
        self.is_gemma = config.is_gemma
        if config.is_gemma:
            self.pre_feedforward_layernorm = _Norm(width, config)
            self.post_feedforward_layernorm = _Norm(width, config)

    def forward(self, x_LD: Tensor, rope: tuple[Tensor, Tensor], attention: Attention) -> Tensor:
        q, k, v = self.before(x_LD, rope)
        own = self.self_attn
        return self.after(x_LD, attention(own.index, q, k, v, own.scale, own.window).reshape(len(x_LD), -1))

    def before(self, x_LD: Tensor, rope: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor, Tensor]:
        """Queries [L, H, D], keys and values [L, h, D], at their positions."""
        return self.self_attn.heads(self.input_layernorm(x_LD), rope)  # type: ignore[no-any-return]

    def after(self, x_LD: Tensor, attended_LD: Tensor) -> Tensor:
        """What the layer makes of its input and of what its heads gathered [L, H * D]."""
        attended_LD = self.self_attn.o_proj(attended_LD)
        if self.is_gemma:
            x_LD = x_LD + self.post_attention_layernorm(attended_LD)
            mixed_LD = self.mlp(self.pre_feedforward_layernorm(x_LD))
            return x_LD + self.post_feedforward_layernorm(mixed_LD)  # type: ignore[no-any-return]
        x_LD = x_LD + attended_LD
        return x_LD + self.mlp(self.post_attention_layernorm(x_LD))  # type: ignore[no-any-return]


class _SelfAttention(nn.Module):
    together = ("q_proj", "k_proj", "v_proj")  # of one input: prepacked, they are one product
    joined: Callable[[Tensor], Tensor] | None = None

    def __init__(self, config: DecoderConfig, index: int):
        super().__init__()
        shape = config.shape
        queries, keys = shape.num_heads * shape.head_size, shape.num_kv_heads * shape.head_size
        self.q_proj = nn.Linear(shape.width, queries, bias=config.qkv_bias)
        self.k_proj = nn.Linear(shape.width, keys, bias=config.qkv_bias)
        self.v_proj = nn.Linear(shape.width, keys, bias=config.qkv_bias)
        self.o_proj = nn.Linear(queries, shape.width, bias=config.output_bias)
        if config.qk_norm:
            self.q_norm = _Norm(shape.head_size, config)
            self.k_norm = _Norm(shape.head_size, config)
        self.index, self.head_size, self.window = index, shape.head_size, config.windows[index]
        self.qk_norm = config.qk_norm
        self.scale = config.attention_scale or shape.head_size**-0.5

    def heads(self, x_LD: Tensor, rope: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor, Tensor]:
        heads = (x_LD.shape[0], -1, self.head_size)
        q, k, v = (projected.view(heads) for projected in self._project(x_LD))
        if self.qk_norm:
            q, k = self.q_norm(q), self.k_norm(k)
        return rotate(q, rope), rotate(k, rope), v

    def _project(self, x_LD: Tensor) -> tuple[Tensor, ...]:
        if self.joined is None:
            return self.q_proj(x_LD), self.k_proj(x_LD), self.v_proj(x_LD)
        return torch.split(self.joined(x_LD), [getattr(self, name).out_features for name in self.together], -1)


class _Mlp(nn.Module):
    together = ("gate_proj", "up_proj")
    joined: Callable[[Tensor], Tensor] | None = None

    def __init__(self, config: DecoderConfig):
        super().__init__()
        width, inner = config.shape.width, config.shape.intermediate
        self.gate_proj = nn.Linear(width, inner, bias=config.mlp_bias)
        self.up_proj = nn.Linear(width, inner, bias=config.mlp_bias)
        self.down_proj = nn.Linear(inner, width, bias=config.mlp_bias)
        self.gated = GATES[config.activation]

    def forward(self, x_LD: Tensor) -> Tensor:
        if self.joined is None:
            gate_LD, up_LD = self.gate_proj(x_LD), self.up_proj(x_LD)
        else:
            gate_LD, up_LD = self.joined(x_LD).chunk(2, -1)
        return self.down_proj(self.gated(gate_LD, up_LD))  # type: ignore[no-any-return]


class _Norm(nn.Module):
    """Root-mean-square norm in float32; Gemma multiplies by 1 + weight before rounding, the others by weight after."""

    def __init__(self, width: int, config: DecoderConfig):
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(width) if config.is_gemma else torch.ones(width))
        self.eps, self.is_gemma = config.norm_eps, config.is_gemma

    def forward(self, x: Tensor) -> Tensor:
        if not self.is_gemma:
            return rms_norm(x, self.weight, self.eps)
        y = x.float()
        y = y * torch.rsqrt(y.pow(2).mean(-1, keepdim=True) + self.eps)
        return (y * (1.0 + self.weight.float())).to(x.dtype)


def angles(rope: Rope, positions_L: Tensor, head_size: int, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """Cosines and sines [L, head_size] of rotary positions, computed in float32 like the published models."""
    exponent = torch.arange(0, head_size, 2, device=positions_L.device).float() / head_size
    frequency = 1.0 / (rope.theta**exponent)
    if rope.kind == "linear":
        frequency = frequency / rope.factor
    elif rope.kind == "llama3":
        wavelength = 2 * math.pi / frequency
        low, high = rope.original_length / rope.low_freq_factor, rope.original_length / rope.high_freq_factor
        share = (rope.original_length / wavelength - rope.low_freq_factor) / (
            rope.high_freq_factor - rope.low_freq_factor
        )
        blended = (1 - share) * frequency / rope.factor + share * frequency
        frequency = torch.where(
            wavelength > low, frequency / rope.factor, torch.where(wavelength < high, frequency, blended)
        )
    angle_LD = (positions_L[:, None].float() * frequency).repeat(1, 2)
    return angle_LD.cos().to(dtype), angle_LD.sin().to(dtype)
