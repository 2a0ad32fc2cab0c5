"""A GGUF file in float16, for llama.cpp and what is built on it: Llama-like and Qwen2 / Qwen3 models."""

import json
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor

from whit.core.errors import ModelError, UsageError
from whit.core.rundir import saving
from whit.core.types import Artifact

# config.json's model_type to the architecture's name there, and whether rows of queries and keys are stored in pairs that
# turn together: llama.cpp turns neighbours in the first, halves in the others.
ARCHITECTURES = {"llama": ("llama", True), "qwen2": ("qwen2", False), "qwen3": ("qwen3", False)}
# How text is cut before merging, by a mark of the tokenizer's own regular expression.
CUTS = ((r"\p{N}{1,3}", "llama-bpe"), (r"[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}|", "qwen2"), ("Digits", "smollm"))
NORMAL, CONTROL, USER_DEFINED = 1, 3, 4  # llama.cpp's types of tokens
BYTE_LEVEL = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True}
SAMPLE = "It's 1,234,567.89 km (π ≈ 3.14159)\n\n  def f(x):\n\treturn x**2  # naïve\r\n你好, THE END!!  "


def gguf(artifact: Artifact, target: Path) -> Path:
    """Write the model of an artifact to the file `target` (.gguf): matrices in float16, vectors in float32.

    Raises UsageError for another suffix, and ModelError for an architecture or a tokenizer that GGUF cannot hold.
    """
    if target.suffix != ".gguf":
        raise UsageError(f"{target}: a GGUF file ends in .gguf. Change the name.")
    try:
        from gguf import GGUFWriter
    except ImportError:
        raise ModelError("writing GGUF needs the package gguf: pip install 'whit[gguf]'.") from None
    config = json.loads((artifact.path / "config.json").read_text())
    name, is_paired = _architecture(config, artifact.path)
    with saving(target.parent):
        target.parent.mkdir(parents=True, exist_ok=True)
        beside = target.with_name(target.name + ".part")
        writer = GGUFWriter(beside, name)
        _describe(writer, config, artifact.path)
        _add_tokenizer(writer, config, artifact.path)
        for there, tensor in _tensors(artifact.path, config, name, is_paired):
            writer.add_tensor(there, tensor.numpy())
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_tensors_to_file()
        writer.close()
        beside.rename(target)
    return target


def _architecture(config: dict[str, Any], path: Path) -> tuple[str, bool]:
    kind = config.get("model_type", "")
    if kind not in ARCHITECTURES:
        raise ModelError(
            f"{path} is of the type '{kind}'; GGUF files are written for {', '.join(ARCHITECTURES)}. Export it as a "
            "directory, and convert it with llama.cpp's convert_hf_to_gguf.py."
        )
    rope = config.get("rope_parameters") or config.get("rope_scaling") or {}
    if rope.get("rope_type", rope.get("type", "default")) != "default":
        raise ModelError(
            f"{path}: positions are scaled ({rope}), which is not written here. Use convert_hf_to_gguf.py."
        )
    return ARCHITECTURES[kind]


def _describe(writer: Any, config: dict[str, Any], path: Path) -> None:
    heads = config["num_attention_heads"]
    size = config.get("head_dim") or config["hidden_size"] // heads
    rope = config.get("rope_parameters") or {}
    writer.add_name(path.name)
    writer.add_context_length(config["max_position_embeddings"])
    writer.add_embedding_length(config["hidden_size"])
    writer.add_block_count(config["num_hidden_layers"])
    writer.add_feed_forward_length(config["intermediate_size"])
    writer.add_head_count(heads)
    writer.add_head_count_kv(config.get("num_key_value_heads", heads))
    writer.add_key_length(size)
    writer.add_value_length(size)
    writer.add_rope_dimension_count(size)
    writer.add_rope_freq_base(float(rope.get("rope_theta") or config.get("rope_theta") or 10_000.0))
    writer.add_layer_norm_rms_eps(config.get("rms_norm_eps", 1e-6))
    writer.add_vocab_size(config["vocab_size"])
    writer.add_file_type(1)  # mostly float16


def _add_tokenizer(writer: Any, config: dict[str, Any], path: Path) -> None:
    tokenizer = json.loads((path / "tokenizer.json").read_text())
    model = tokenizer["model"]
    if model.get("type") != "BPE" or '"ByteLevel"' not in json.dumps(tokenizer.get("pre_tokenizer")):
        raise ModelError(
            f"{path}: GGUF files are written for byte-level BPE tokenizers only. Export it as a directory."
        )
    texts = {index: text for text, index in model["vocab"].items()}
    special = {token["id"]: token for token in tokenizer["added_tokens"]}
    texts |= {index: token["content"] for index, token in special.items()}
    count = config["vocab_size"]
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre(_cut(tokenizer, path))
    writer.add_token_list([texts.get(index, f"[unused{index}]") for index in range(count)])
    kinds = {index: CONTROL if token["special"] else USER_DEFINED for index, token in special.items()}
    writer.add_token_types([kinds.get(index, NORMAL) for index in range(count)])
    writer.add_token_merges([pair if isinstance(pair, str) else " ".join(pair) for pair in model["merges"]])
    generation = path / "generation_config.json"
    known = {**config, **(json.loads(generation.read_text()) if generation.exists() else {})}
    for key, add in (("bos_token_id", writer.add_bos_token_id), ("eos_token_id", writer.add_eos_token_id),
                     ("pad_token_id", writer.add_pad_token_id)):  # fmt: skip
        value = known.get(key)
        if value is not None:
            add(value[0] if isinstance(value, list) else value)
    writer.add_add_bos_token(False)
    template = path / "chat_template.jinja"
    if template.exists():
        writer.add_chat_template(template.read_text())


def _cut(tokenizer: dict[str, Any], path: Path) -> str:
    """llama.cpp's name of how the tokenizer cuts text before it merges. Raises ModelError for one that it does not have."""
    from tokenizers import Tokenizer

    shown = json.dumps(tokenizer["pre_tokenizer"]).replace("\\\\", "\\")
    for mark, kind in CUTS:
        if mark in shown:
            return kind
    plain = {**tokenizer, "pre_tokenizer": BYTE_LEVEL}
    own, gpt2 = (Tokenizer.from_str(json.dumps(t)).encode(SAMPLE).ids for t in (tokenizer, plain))
    if own != gpt2:
        raise ModelError(
            f"{path}: its tokenizer cuts text in a way that llama.cpp has no name for. Export a directory."
        )
    return "gpt-2"


def _tensors(path: Path, config: dict[str, Any], name: str, is_paired: bool) -> list[tuple[str, Tensor]]:
    from gguf import MODEL_ARCH_NAMES, get_tensor_name_map

    kind = next(key for key, known in MODEL_ARCH_NAMES.items() if known == name)
    names = get_tensor_name_map(kind, config["num_hidden_layers"])
    found = []
    for file in sorted(path.glob("*.safetensors")):
        for here, tensor in load_file(file).items():
            there = names.get_name(here, try_suffixes=(".weight", ".bias"))
            if there is None:
                raise ModelError(f"{path}: GGUF knows no tensor like '{here}' in a model of the type '{name}'.")
            if is_paired and ".q_proj." in here:
                tensor = _in_pairs(tensor, config["num_attention_heads"])
            elif is_paired and ".k_proj." in here:
                tensor = _in_pairs(tensor, config.get("num_key_value_heads", config["num_attention_heads"]))
            # llama.cpp wants the vectors of norms and biases in float32.
            found.append((there, tensor.to(torch.float32 if tensor.dim() == 1 else torch.float16).contiguous()))
    return found


def _in_pairs(rows: Tensor, heads: int) -> Tensor:
    """Rows of each head reordered from halves to neighbours: 0, h/2, 1, h/2 + 1, ..."""
    return rows.view(heads, 2, -1, *rows.shape[1:]).transpose(1, 2).reshape(rows.shape)
