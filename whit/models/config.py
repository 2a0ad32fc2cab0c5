"""What a decoder needs to know, read from a Hugging Face `config.json` of the families that `decoder.py` covers."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from whit.core.errors import ModelError
from whit.core.flops import Shape

# What transformers' config classes fill in for an entry that config.json leaves out, where the families differ.
DEFAULTS: dict[str, dict[str, Any]] = {
    "llama": {"max_position_embeddings": 2048},
    "qwen2": {"max_position_embeddings": 32_768},
    "qwen3": {"max_position_embeddings": 32_768, "head_dim": 128},
    "gemma3_text": {
        "max_position_embeddings": 131_072, "head_dim": 256, "tie_word_embeddings": True, "rope_theta": 1e6,
        "rope_local_base_freq": 1e4, "hidden_activation": "gelu_pytorch_tanh", "query_pre_attn_scalar": 256,
    },
}  # fmt: skip
ACTIVATIONS = ("silu", "gelu", "gelu_pytorch_tanh")
UNSUPPORTED = ("use_sliding_window", "attn_logit_softcapping", "use_bidirectional_attention")


@dataclass(frozen=True)
class Rope:
    """Rotary position embedding: its base and, for long contexts, how frequencies are rescaled."""

    theta: float = 10_000.0
    kind: str = "default"
    factor: float = 1.0
    low_freq_factor: float = 1.0
    high_freq_factor: float = 4.0
    original_length: int = 8192


@dataclass(frozen=True)
class DecoderConfig:
    """One decoder. `windows` holds, per layer, the sliding window of its attention; 0 attends to everything before."""

    family: str
    shape: Shape
    norm_eps: float
    max_length: int
    activation: str
    rope: Rope
    local_rope: Rope
    windows: tuple[int, ...]
    qkv_bias: bool = False
    output_bias: bool = False
    mlp_bias: bool = False
    qk_norm: bool = False
    attention_scale: float = 0.0
    final_softcap: float = 0.0
    raw: Mapping[str, Any] = field(default_factory=dict, hash=False, compare=False)

    @property
    def is_gemma(self) -> bool:
        """Gemma norms multiply by 1 + weight, wrap each block on both sides, and scale the embedding."""
        return self.family == "gemma3_text"


def parse_config(raw: Mapping[str, Any]) -> DecoderConfig | None:
    """The config of a model that `decoder.py` runs; None when transformers has to run it instead.

    Raises ModelError when a size is missing.
    """
    family, written = raw.get("model_type"), raw
    if family not in DEFAULTS or any(raw.get(name) for name in UNSUPPORTED):
        return None
    raw = DEFAULTS[family] | {name: value for name, value in written.items() if value is not None}
    try:
        heads, width = int(raw["num_attention_heads"]), int(raw["hidden_size"])
        shape = Shape(
            vocab_size=int(raw["vocab_size"]),
            width=width,
            num_layers=int(raw["num_hidden_layers"]),
            num_heads=heads,
            num_kv_heads=int(raw.get("num_key_value_heads", heads)),
            head_size=int(raw.get("head_dim", width // heads)),
            intermediate=int(raw["intermediate_size"]),
            is_tied=bool(raw.get("tie_word_embeddings", False)),
        )
    except KeyError as error:
        raise ModelError(f"config.json has no {error}: it does not describe a {family} decoder.") from None
    ropes = _ropes(raw)
    activation = str(raw.get("hidden_activation") or raw.get("hidden_act") or "silu")
    if ropes is None or activation not in ACTIVATIONS:
        return None
    bias = bool(raw.get("attention_bias", False))
    return DecoderConfig(
        family=family,
        shape=shape,
        norm_eps=float(raw.get("rms_norm_eps", 1e-6)),
        max_length=int(raw["max_position_embeddings"]),
        activation=activation,
        rope=ropes[0],
        local_rope=ropes[1],
        windows=_windows(raw, shape.num_layers),
        qkv_bias=family == "qwen2" or bias,
        output_bias=family != "qwen2" and bias,
        mlp_bias=bool(raw.get("mlp_bias", False)),
        qk_norm=family in ("qwen3", "gemma3_text"),
        attention_scale=float(raw["query_pre_attn_scalar"]) ** -0.5 if family == "gemma3_text" else 0.0,
        final_softcap=float(raw.get("final_logit_softcapping", 0.0)),
        raw=dict(written),
    )


def _ropes(raw: Mapping[str, Any]) -> tuple[Rope, Rope] | None:
    """The ropes of full and of sliding layers, from either spelling; None for a kind that we do not compute."""
    rope = raw.get("rope_parameters") or raw.get("rope_scaling") or {}
    if "full_attention" in rope:
        full, local = _rope(rope["full_attention"]), _rope(rope["sliding_attention"])
    else:
        full = _rope({"rope_theta": raw.get("rope_theta", 10_000.0), **rope})
        local = _rope({"rope_theta": raw["rope_local_base_freq"]}) if "rope_local_base_freq" in raw else full
    return (full, local) if {full.kind, local.kind} <= {"default", "linear", "llama3"} else None


def _rope(values: Mapping[str, Any]) -> Rope:
    return Rope(
        theta=float(values.get("rope_theta", 10_000.0)),
        kind=str(values.get("rope_type") or values.get("type") or "default"),
        factor=float(values.get("factor", 1.0)),
        low_freq_factor=float(values.get("low_freq_factor", 1.0)),
        high_freq_factor=float(values.get("high_freq_factor", 4.0)),
        original_length=int(values.get("original_max_position_embeddings", 8192)),
    )


def _windows(raw: Mapping[str, Any], num_layers: int) -> tuple[int, ...]:
    if raw["model_type"] != "gemma3_text":
        return (0,) * num_layers
    window = int(raw.get("sliding_window", 4096))
    kinds = raw.get("layer_types")
    if kinds is None:
        every = int(raw.get("sliding_window_pattern", 6))
        kinds = ["full_attention" if (i + 1) % every == 0 else "sliding_attention" for i in range(num_layers)]
    return tuple(window if kind == "sliding_attention" else 0 for kind in kinds)
