"""A GGUF file that is written is read back, by transformers, as the same model."""

import json
from pathlib import Path

import gguf as library
import pytest
import torch

from whit.core.errors import ModelError, UsageError
from whit.core.types import Artifact
from whit.export.gguf import gguf
from whit.models.attention import Packed
from whit.models.gguf import from_gguf
from whit.models.load import load_policy, resolve_model

TOKENS = torch.arange(3, 40)


def logits(path):
    policy = load_policy(path)
    with torch.no_grad():
        hidden = policy.decoder(TOKENS, torch.arange(len(TOKENS)), Packed([len(TOKENS)], torch.device("cpu")))
        return policy.decoder.logits(hidden), policy.tokenizer


@pytest.fixture
def model(tmp_path):
    """A copy of the embedded micro model, with other entries in its config."""
    source = resolve_model("micro-base")

    def model(**entries):
        made = tmp_path / "model"
        made.mkdir()
        for file in Path(source).iterdir():
            (made / file.name).write_bytes(file.read_bytes())
        config = json.loads((made / "config.json").read_text()) | entries
        (made / "config.json").write_text(json.dumps(config))
        return Artifact(made, "key")

    return model


def test_what_is_written_is_read_back_as_the_same_model(model, tmp_path):
    artifact = model()
    file = gguf(artifact, tmp_path / "out" / "micro.gguf")
    ours, tokenizer = logits(artifact.path)
    back, read = logits(from_gguf(file, tmp_path / "cache"))
    assert (ours - back).abs().max() < 0.02 * ours.std()  # float16
    assert ours.argmax(-1).equal(back.argmax(-1))
    text = "Ann has 3 eggs. Leo has 12 more.<|end|>"
    assert tokenizer(text)["input_ids"] == read(text)["input_ids"]
    assert tokenizer.eos_token_id == read.eos_token_id
    kinds = {str(tensor.name): tensor.tensor_type.name for tensor in library.GGUFReader(file).tensors}
    assert kinds["blk.0.attn_q.weight"] == "F16" and kinds["blk.0.attn_norm.weight"] == "F32"


def test_rows_that_turn_together_stand_together_for_llama_and_not_for_qwen():
    from whit.export.gguf import _in_pairs

    rows = torch.arange(8.0)[:, None]
    assert _in_pairs(rows, heads=2)[:, 0].tolist() == [0, 2, 1, 3, 4, 6, 5, 7]


@pytest.mark.parametrize(
    ("entries", "message"),
    [
        ({"model_type": "gemma3_text"}, "of the type 'gemma3_text'; GGUF files are written for llama, qwen2, qwen3"),
        ({"rope_parameters": {"rope_type": "llama3", "rope_theta": 1e4}}, "positions are scaled"),
    ],
)
def test_what_gguf_cannot_hold_is_named(entries, message, model, tmp_path):
    with pytest.raises(ModelError, match=message):
        gguf(model(**entries), tmp_path / "x.gguf")
    assert not list(tmp_path.glob("*.gguf*"))


def test_another_way_of_cutting_text_is_refused(model, tmp_path):
    artifact = model()
    file = artifact.path / "tokenizer.json"
    words = json.loads(file.read_text())
    words["pre_tokenizer"]["pretokenizers"][0]["pattern"] = {"Regex": "."}
    file.write_text(json.dumps(words))
    with pytest.raises(ModelError, match="cuts text in a way that llama"):
        gguf(artifact, tmp_path / "x.gguf")
    with pytest.raises(UsageError, match=r"ends in \.gguf"):
        gguf(artifact, tmp_path / "x.bin")
