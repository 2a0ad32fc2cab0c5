"""What is exported is an ordinary model: transformers loads it and writes what whit writes."""

import json
import shutil

import pytest
import torch

from whit.core.errors import ModelError, UsageError
from whit.core.types import Artifact, Message
from whit.data.render import Renderer
from whit.export.safetensors import safetensors
from whit.generation.engine import Engine
from whit.generation.sampler import Sampling
from whit.models.load import load_policy
from whit.testing.run import as_artifact

PROMPTS = ("How many apples does Ben have?", "1 + 1?", "Ann has 3.")


@pytest.fixture
def artifact(tiny_model, tmp_path):
    """The tiny model as a stage leaves it."""
    path = tmp_path / "sft-0123456789abcdef"
    shutil.copytree(tiny_model, path)
    (path / "artifact.json").write_text(json.dumps({"facts": {"stage": "sft", "seed": 3}}))
    (path / "metrics.jsonl").write_text("{}\n")
    return Artifact(path, "0123456789abcdef")


def test_transformers_writes_the_same_greedy_text(artifact, tmp_path):
    from transformers import AutoModelForCausalLM, AutoTokenizer

    exported = safetensors(artifact, tmp_path / "out")
    model = AutoModelForCausalLM.from_pretrained(exported, dtype=torch.float64)
    tokenizer = AutoTokenizer.from_pretrained(exported)
    policy = load_policy(artifact.path, dtype="float64")
    renderer = Renderer(policy.tokenizer, max_length=256)
    engine = Engine(policy.decoder, renderer.stop_ids, decode=renderer.decode)
    for prompt in PROMPTS:
        ids = tokenizer.apply_chat_template(
            [{"role": "user", "content": prompt}], add_generation_prompt=True, return_tensors="pt", return_dict=True
        )["input_ids"]
        assert ids[0].tolist() == renderer.prompt([Message("user", prompt)])
        theirs = model.generate(
            ids, attention_mask=torch.ones_like(ids), do_sample=False, max_new_tokens=40,
            eos_token_id=tokenizer.eos_token_id, pad_token_id=tokenizer.pad_token_id,
        )[0, ids.shape[1] :].tolist()  # fmt: skip
        (ours,) = engine.generate([ids[0].tolist()], Sampling(temperature=0.0, max_new_tokens=40))[0]
        assert theirs == list(ours.ids)
        assert tokenizer.decode(theirs, skip_special_tokens=True).strip() == renderer.decode(ours.ids)


def test_it_is_the_model_and_a_card_without_whit_s_own_records(artifact, tmp_path):
    safetensors(artifact, tmp_path / "out")
    model = {p.name for p in artifact.path.iterdir()} - {"artifact.json", "metrics.jsonl"}
    assert {p.name for p in (tmp_path / "out").iterdir()} == model | {"README.md"}
    for name in model:
        assert (tmp_path / "out" / name).read_bytes() == (artifact.path / name).read_bytes()
    assert not (tmp_path / "out.part").exists()


def test_the_card_says_where_the_model_comes_from(artifact, tmp_path):
    card = {"title": "A model", "about": "Made for a test.", "accuracy": "41.3 % [38.9, 43.7]"}
    lines = (safetensors(artifact, tmp_path / "out", card=card) / "README.md").read_text().splitlines()
    assert lines[:3] == ["---", "library_name: transformers", "---"]
    assert "# A model" in lines and "Made for a test." in lines
    assert lines[-4:] == [
        "| accuracy | 41.3 % [38.9, 43.7] |", "| last stage | sft |", "| content key | 0123456789abcdef |", "| seed | 3 |",
    ]  # fmt: skip


def test_a_plain_model_directory_can_be_exported_too(tiny_model, tmp_path):
    card = (safetensors(as_artifact(tiny_model), tmp_path / "out") / "README.md").read_text()
    assert "# tiny" in card and "Trained with whit." in card and "last stage" not in card


def test_an_earlier_export_is_replaced_whole(artifact, tmp_path):
    (safetensors(artifact, tmp_path / "out") / "left-over.bin").write_text("")
    safetensors(artifact, tmp_path / "out")
    assert not (tmp_path / "out" / "left-over.bin").exists()
    assert (tmp_path / "out" / "model.safetensors").exists()


def test_a_directory_of_something_else_is_left_alone(artifact, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "thesis.tex").write_text("years of work")
    with pytest.raises(UsageError, match="exists and is not a model directory"):
        safetensors(artifact, tmp_path / "out")
    assert (tmp_path / "out" / "thesis.tex").read_text() == "years of work"


def test_an_artifact_whose_model_is_gone(artifact, tmp_path):
    (artifact.path / "config.json").unlink()
    with pytest.raises(ModelError, match="holds no model"):
        safetensors(artifact, tmp_path / "out")
