"""Model directories: what we write transformers loads, and each damaged directory says what to do about it."""

import json
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from tiny_models import EACH_VARIANT, config_of, ours, reference, tokenizer

from whit.core.errors import ModelError
from whit.models.attention import Packed
from whit.models.load import Policy, load_policy, resolve_model

TOKENS_L = torch.arange(3, 40)


def make(directory: Path, variant: str = "llama-tied") -> Policy:
    raw = config_of(variant) | {"vocab_size": 300}
    policy = Policy(ours(raw, reference(raw, dtype=torch.float32)), tokenizer(), directory)
    policy.save(directory)
    return policy


@torch.no_grad()
def logits(policy: Policy) -> torch.Tensor:
    positions_L = torch.arange(len(TOKENS_L))
    return policy.decoder.logits(policy.decoder(TOKENS_L, positions_L, Packed([len(TOKENS_L)], TOKENS_L.device)))


@EACH_VARIANT
@torch.no_grad()
def test_transformers_loads_what_we_save_and_so_do_we(variant, tmp_path):
    from transformers import AutoModelForCausalLM

    policy = make(tmp_path, variant)
    model, report = AutoModelForCausalLM.from_pretrained(tmp_path, output_loading_info=True)
    assert not any(report.values())
    assert model.dtype == torch.float32
    torch.testing.assert_close(model(TOKENS_L[None]).logits[0], logits(policy), rtol=1e-4, atol=1e-4)
    assert torch.equal(logits(load_policy(tmp_path)), logits(policy))


def test_whoever_may_read_the_config_may_read_the_weights(tmp_path):
    make(tmp_path, "llama-tied")
    assert (tmp_path / "model.safetensors").stat().st_mode == (tmp_path / "config.json").stat().st_mode


def test_a_tied_head_is_stored_once(tmp_path):
    make(tmp_path, "llama-tied")
    make(tmp_path / "untied", "llama")
    for directory, stored in ((tmp_path, False), (tmp_path / "untied", True)):
        with safe_open(directory / "model.safetensors", "pt") as weights:
            assert ("lm_head.weight" in weights.keys()) is stored  # noqa: SIM118


def test_the_dtype_is_that_of_the_weights_unless_another_is_asked_for(tmp_path):
    policy = make(tmp_path)
    policy.save(tmp_path / "half", torch.bfloat16)
    assert [json.loads((d / "config.json").read_text())["dtype"] for d in (tmp_path, tmp_path / "half")] == [
        "float32",
        "bfloat16",
    ]
    assert load_policy(tmp_path / "half", dtype="float64").decoder.lm_head.weight.dtype == torch.float64


def test_the_tokenizer_and_the_stops_of_the_generation_config_go_along(tmp_path):
    policy = make(tmp_path / "a")
    (tmp_path / "a/generation_config.json").write_text('{"eos_token_id": [2, 7]}')
    loaded = load_policy(tmp_path / "a")
    loaded.save(tmp_path / "b")
    again = load_policy(tmp_path / "b")
    assert loaded.stop_ids == again.stop_ids == (2, 7)
    text = "4 + 5 = nine"
    assert again.tokenizer(text)["input_ids"] == policy.tokenizer(text)["input_ids"]


def test_weights_split_over_files_are_read(tmp_path):
    from transformers import AutoModelForCausalLM

    policy = make(tmp_path)
    AutoModelForCausalLM.from_pretrained(tmp_path).save_pretrained(tmp_path, max_shard_size="20KB")
    (tmp_path / "model.safetensors").unlink()
    assert len(list(tmp_path.glob("model-*.safetensors"))) > 1
    assert torch.equal(logits(load_policy(tmp_path)), logits(policy))


def without(name: str):
    return lambda directory: (directory / name).unlink()


def cut_short(directory: Path) -> None:
    file = directory / "model.safetensors"
    file.write_bytes(file.read_bytes()[:-100])


def pickled_only(directory: Path) -> None:
    (directory / "model.safetensors").rename(directory / "pytorch_model.bin")


def with_config(**entries: object):
    def change(directory: Path) -> None:
        file = directory / "config.json"
        file.write_text(json.dumps(json.loads(file.read_text()) | entries))

    return change


DAMAGES = {
    "no config": (without("config.json"), "holds no config.json"),
    "config is not JSON": (lambda d: (d / "config.json").write_text("{"), "config.json is not valid JSON"),
    "config is no object": (lambda d: (d / "config.json").write_text("[]"), "config.json holds no JSON object"),
    "config has no size": (lambda d: (d / "config.json").write_text('{"model_type": "llama"}'), "config.json has no"),
    "no tokenizer": (without("tokenizer.json"), "has no tokenizer"),
    "tokenizer is not one": (lambda d: (d / "tokenizer.json").write_text("{}"), "the tokenizer in .* cannot be loaded"),
    "stops are not JSON": (
        lambda d: (d / "generation_config.json").write_text("?"),
        "generation_config.json is not valid JSON",
    ),
    "no weights": (without("model.safetensors"), "has no model.safetensors"),
    "pickle only": (pickled_only, "pytorch_model.bin, a pickle, which whit does not open"),
    "cut short": (cut_short, "damaged or cut short"),
    "empty weights": (lambda d: (d / "model.safetensors").write_bytes(b""), "damaged or cut short"),
    "index is not JSON": (
        lambda d: (d / "model.safetensors.index.json").write_text("{"),
        "index.json is not valid JSON",
    ),
    "a layer too many": (with_config(num_hidden_layers=4), "weights do not fit config.json; missing .*layers.3"),
    "a layer too few": (with_config(num_hidden_layers=2), "weights do not fit config.json; .*not expected .*layers.2"),
    "another width": (with_config(intermediate_size=52), "has shape .*, config.json says"),
    "unknown architecture": (with_config(model_type="abacus"), "abacus"),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_directory_is_one_clear_error(damage, tmp_path):
    change, message = DAMAGES[damage]
    make(tmp_path)
    change(tmp_path)
    with pytest.raises(ModelError, match=message):
        load_policy(tmp_path)


def test_a_missing_directory_is_named(tmp_path):
    with pytest.raises(ModelError, match=r"no model directory .*nowhere"):
        load_policy(tmp_path / "nowhere")


def test_names_of_models(tmp_path, monkeypatch):
    monkeypatch.setenv("WHIT_MODELS", str(tmp_path))
    make(tmp_path / "tiny-one")
    assert resolve_model(str(tmp_path / "tiny-one")) == tmp_path / "tiny-one"
    assert resolve_model("tiny-one") == tmp_path / "tiny-one"
    with pytest.raises(ModelError, match=r"no model 'tinyone'.* Did you mean 'tiny-one'"):
        resolve_model("tinyone")
    with pytest.raises(ModelError, match=r"no file .*gone.gguf"):
        resolve_model(str(tmp_path / "gone.gguf"))


def test_without_network_a_hub_name_says_what_to_do(tmp_path, monkeypatch):
    import huggingface_hub

    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(
        ModelError, match=r"'some/model' is neither .*no network, and not in the cache.* copy the model's"
    ):
        resolve_model("some/model")
