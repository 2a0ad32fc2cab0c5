"""Tiny models with random weights: transformers' own, and the same weights in ours."""

from typing import Any

import pytest
import torch

from whit.models.config import parse_config
from whit.models.decoder import Decoder

SIZES = {
    "vocab_size": 96, "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 3, "num_attention_heads": 4,
    "num_key_value_heads": 2, "max_position_embeddings": 128, "bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 2,
}  # fmt: skip
LLAMA3 = {
    "rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
    "original_max_position_embeddings": 16,
}  # fmt: skip
GEMMA_ROPE = {
    "full_attention": {"rope_type": "linear", "factor": 2.0, "rope_theta": 1e6},
    "sliding_attention": {"rope_type": "default", "rope_theta": 1e4},
}
# One entry of `config.json` content per variant that decoder.py covers, rope in the older spelling where it has one.
VARIANTS: dict[str, dict[str, Any]] = {
    "llama": {"model_type": "llama", "rope_theta": 5e4},
    "llama-tied": {"model_type": "llama", "tie_word_embeddings": True},
    "llama-biases": {"model_type": "llama", "attention_bias": True, "mlp_bias": True, "head_dim": 16},
    "llama3-rope": {"model_type": "llama", "rope_theta": 5e5, "rope_scaling": LLAMA3},
    "linear-rope": {"model_type": "llama", "rope_scaling": {"type": "linear", "factor": 4.0}},
    "qwen2": {"model_type": "qwen2", "tie_word_embeddings": True, "rope_theta": 1e6},
    "qwen3": {"model_type": "qwen3", "head_dim": 16, "rope_theta": 1e6},
    "gemma3": {
        "model_type": "gemma3_text", "head_dim": 16, "sliding_window": 8, "sliding_window_pattern": 3,
        "query_pre_attn_scalar": 20, "rope_scaling": {"rope_type": "linear", "factor": 2.0},
    },
    "gemma3-softcap": {
        "model_type": "gemma3_text", "head_dim": 16, "sliding_window": 8, "final_logit_softcapping": 0.5,
        "layer_types": ["sliding_attention", "full_attention", "sliding_attention"], "rope_parameters": GEMMA_ROPE,
    },
}  # fmt: skip
EACH_VARIANT = pytest.mark.parametrize("variant", sorted(VARIANTS))


def config_of(variant: str) -> dict[str, Any]:
    return {**SIZES, **VARIANTS[variant]}


def reference(raw: dict[str, Any], attention: str = "sdpa", dtype: torch.dtype = torch.float64) -> Any:
    """transformers' model of a config with random weights, biases and norms included."""
    from transformers import AutoConfig, AutoModelForCausalLM

    config = AutoConfig.for_model(**raw)
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.manual_seed(0)
        model = AutoModelForCausalLM.from_config(config, attn_implementation=attention, dtype=torch.float64).eval()
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.2)
    return model.to(dtype)


def ours(raw: dict[str, Any], model: Any) -> Decoder:
    """The same weights in our decoder."""
    config = parse_config(raw)
    assert config is not None
    decoder = Decoder(config).to(next(model.parameters()).dtype)
    decoder.load_state_dict(model.state_dict())
    return decoder


def tokenizer(texts: tuple[str, ...] = ("one two three", "4 + 5 = 9")) -> Any:
    """A byte-level tokenizer of at most 300 ids, in Hugging Face's format."""
    from whit.data.tokenizer import train_tokenizer

    return train_tokenizer(texts, vocab_size=300, max_length=128)
