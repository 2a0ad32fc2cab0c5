"""GGUF files: converted once into a directory with the same logits."""

import json
import os
import sys
from pathlib import Path
from typing import Any

import gguf
import pytest
import torch
from tiny_models import config_of, ours, reference, tokenizer

from whit.core.errors import ModelError
from whit.models.attention import Packed
from whit.models.gguf import from_gguf
from whit.models.load import load_policy

NAMES = {
    "self_attn.q_proj": "attn_q", "self_attn.k_proj": "attn_k", "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output", "mlp.gate_proj": "ffn_gate", "mlp.up_proj": "ffn_up", "mlp.down_proj": "ffn_down",
    "input_layernorm": "attn_norm", "post_attention_layernorm": "ffn_norm",
}  # fmt: skip
TOKENS_L = torch.arange(3, 40)


def gguf_name(name: str) -> str:
    name = name.replace("model.layers.", "blk.").replace("model.embed_tokens", "token_embd")
    for ours_, theirs in NAMES.items():
        name = name.replace(ours_, theirs)
    return name.replace("model.norm", "output_norm").replace("lm_head", "output")


def write(file: Path, model: Any, words: Any, *, architecture: str = "llama", repeats_head: bool = False) -> None:
    """A float32 GGUF file of a llama model, queries and keys with their rows permuted as the format has it."""
    config, writer = model.config, gguf.GGUFWriter(file, architecture)
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_block_count(config.num_hidden_layers)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(config.num_attention_heads)
    writer.add_head_count_kv(config.num_key_value_heads)
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    writer.add_rope_freq_base(config.rope_parameters["rope_theta"])
    writer.add_rope_dimension_count(config.head_dim)
    writer.add_vocab_size(config.vocab_size)
    core = json.loads(words.backend_tokenizer.to_str())
    tokens = sorted(words.get_vocab(), key=words.get_vocab().get)
    tokens += [f"<|unused{i}|>" for i in range(config.vocab_size - len(tokens))]
    writer.add_tokenizer_model("gpt2")
    writer.add_token_list(tokens)
    writer.add_token_types([3 if token.startswith("<|") else 1 for token in tokens])
    writer.add_token_merges([" ".join(pair) for pair in core["model"]["merges"]])
    writer.add_eos_token_id(words.eos_token_id)
    writer.add_bos_token_id(words.eos_token_id)
    writer.add_chat_template(words.chat_template)
    for name, weight in model.state_dict().items():
        if name == "lm_head.weight" and config.tie_word_embeddings and not repeats_head:
            continue
        if name.endswith(("q_proj.weight", "k_proj.weight")):
            weight = weight.view(-1, 2, config.head_dim // 2, weight.shape[1]).transpose(1, 2).flatten(0, 2)
        writer.add_tensor(gguf_name(name), weight.contiguous().numpy())
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


@torch.no_grad()
def logits(decoder: Any) -> torch.Tensor:
    attention = Packed([len(TOKENS_L)], TOKENS_L.device)
    return decoder.logits(decoder(TOKENS_L, torch.arange(len(TOKENS_L)), attention))


@pytest.mark.parametrize(
    ("variant", "repeats_head", "is_tied"),
    [("llama", False, False), ("llama-tied", False, True), ("llama-tied", True, True)],
)
def test_a_converted_file_has_the_logits_and_tokens_of_the_model(variant, repeats_head, is_tied, tmp_path):
    raw, words = config_of(variant) | {"vocab_size": 300}, tokenizer()
    model = reference(raw, dtype=torch.float32)
    write(tmp_path / "tiny.gguf", model, words, repeats_head=repeats_head)
    policy = load_policy(from_gguf(tmp_path / "tiny.gguf", tmp_path / "cache"))
    torch.testing.assert_close(logits(policy.decoder), logits(ours(raw, model)), rtol=1e-4, atol=1e-4)
    assert policy.decoder.config.shape.is_tied is is_tied
    assert policy.decoder.config.max_length == 128
    assert policy.tokenizer("4 + 5 = nine")["input_ids"] == words("4 + 5 = nine")["input_ids"]
    assert policy.tokenizer.chat_template == words.chat_template


def test_a_file_is_converted_once_and_again_when_its_content_changes(tmp_path):
    file, cache = tmp_path / "tiny.gguf", tmp_path / "cache"
    model = reference(config_of("llama") | {"vocab_size": 300}, dtype=torch.float32)
    write(file, model, tokenizer())
    first = from_gguf(file, cache)
    made = (first / "model.safetensors").stat().st_mtime_ns
    assert from_gguf(file, cache) == first
    assert (first / "model.safetensors").stat().st_mtime_ns == made
    with torch.no_grad():
        model.model.norm.weight.add_(1)
    write(file, model, tokenizer())
    second = from_gguf(file, cache)
    assert sorted(cache.iterdir()) == sorted([first, second])


def test_what_cannot_be_read_is_one_clear_error(tmp_path):
    file, cache = tmp_path / "tiny.gguf", tmp_path / "cache"
    with pytest.raises(ModelError, match=r"no file .*tiny\.gguf"):
        from_gguf(file, cache)
    file.write_text("not a model")
    with pytest.raises(ModelError, match="is not a GGUF file"):
        from_gguf(file, cache)
    model = reference(config_of("llama") | {"vocab_size": 300}, dtype=torch.float32)
    write(file, model, tokenizer(), architecture="abacus")
    with pytest.raises(ModelError, match=r"cannot read .* of the architecture 'abacus'"):
        from_gguf(file, cache)
    write(file, model, tokenizer())
    file.write_bytes(file.read_bytes()[:-5000])
    with pytest.raises(ModelError, match="damaged or cut short"):
        from_gguf(file, cache)
    assert not list(cache.glob("*"))


def test_without_the_package_the_error_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "gguf", None)
    (tmp_path / "tiny.gguf").write_bytes(b"GGUF")
    with pytest.raises(ModelError, match=r"pip install 'whit\[gguf\]'"):
        from_gguf(tmp_path / "tiny.gguf", tmp_path)


@pytest.mark.real
def test_a_pretrained_file_converts_to_the_directory_that_we_have(tmp_path):
    home = Path(os.environ.get("WHIT_MODELS", ""))
    if "WHIT_MODELS" not in os.environ or not (home / "smollm2-135m.gguf").exists():
        pytest.skip("set WHIT_MODELS to a directory that holds smollm2-135m.gguf and smollm2-135m")
    converted = load_policy(from_gguf(home / "smollm2-135m.gguf", tmp_path))
    assert torch.equal(logits(converted.decoder), logits(load_policy(home / "smollm2-135m").decoder))
