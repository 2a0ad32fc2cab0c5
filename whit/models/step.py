"""The fast way to one token more of each sequence, for models that have one."""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from whit.kernels.build import runs
from whit.kernels.decode import SIZES, Decode, Weights
from whit.kernels.ops import MAX_HEAD_SIZE
from whit.models.attention import Cache
from whit.models.causal import CausalLM
from whit.models.decoder import Decoder, angles
from whit.models.prepack import has_amx

Step = Callable[[Tensor, Tensor], Tensor]
NAMES = {
    "norm": "input_layernorm", "q": "self_attn.q_proj", "k": "self_attn.k_proj", "v": "self_attn.v_proj",
    "q_norm": "self_attn.q_norm", "k_norm": "self_attn.k_norm", "o": "self_attn.o_proj",
    "mlp_norm": "post_attention_layernorm", "gate": "mlp.gate_proj", "up": "mlp.up_proj", "down": "mlp.down_proj",
}  # fmt: skip
BIASED = ("q", "k", "v")
AMX_ROWS = 8  # with more, a processor that has AMX is left to oneDNN, which uses it (reckoned, not measured)


def compiled_step(model: CausalLM, cache: Cache, rows: int) -> Step | None:
    """A function from tokens and positions [B] to logits [B, V] that also fills the cache; None where there is none.

    Llama- and Qwen-like decoders in bfloat16 on a CPU have one, while no adapters stand in them. It keeps a copy of the
    weights in the order in which they are read: make another when they have changed. rows: the largest B.
    """
    if not isinstance(model, Decoder) or not _is_covered(model) or (has_amx() and rows > AMX_ROWS):
        return None
    config, parameters = model.config, dict(model.named_parameters())
    positions_L = torch.arange(cache.length)
    cosine_LD, sine_LD = angles(config.rope, positions_L, config.shape.head_size, torch.bfloat16)
    tensors = {
        "embedding": model.model.embed_tokens.weight, "norm": model.model.norm.weight, "head": model.head().weight,
        "cosine": cosine_LD, "sine": sine_LD,
    }  # fmt: skip
    layers = []
    for index, (keys, values) in enumerate(zip(cache.keys, cache.values, strict=True)):
        inside = f"model.layers.{index}."
        named = {name: parameters.get(f"{inside}{path}.weight") for name, path in NAMES.items()}
        named |= {f"{name}_bias": parameters.get(f"{inside}{NAMES[name]}.bias") for name in BIASED}
        layers.append(
            {name: t.detach() for name, t in named.items() if t is not None} | {"keys": keys, "values": values}
        )
    sizes = {name: getattr(config.shape, name) for name in SIZES}
    scale = config.attention_scale or config.shape.head_size**-0.5
    return Decode(Weights(tensors, layers, sizes, config.norm_eps, scale))


def _is_covered(model: Decoder) -> bool:
    config, shape = model.config, model.config.shape
    plain = not (config.is_gemma or config.output_bias or config.mlp_bias or config.final_softcap)
    return (
        plain
        and config.activation == "silu"
        and shape.head_size <= MAX_HEAD_SIZE
        and not any(size % 2 for size in (shape.width, shape.num_heads * shape.head_size, shape.intermediate))
        and runs(*model.parameters())
        and all(type(module) is nn.Linear for module in model.modules() if hasattr(module, "in_features"))
        and not torch.is_grad_enabled()
    )
