"""Architectures that transformers runs: packed, cached and trained like our own, or refused with a reason."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from tiny_models import SIZES, reference, tokenizer
from torch import Tensor

from whit.core.errors import ModelError
from whit.data.batch import Document, collate
from whit.generation.engine import Engine
from whit.generation.sampler import GREEDY
from whit.models.attention import Packed
from whit.models.hub import HubDecoder, hub_shape, load_hub
from whit.models.load import load_policy
from whit.objectives._types import Term
from whit.objectives.cross_entropy import cross_entropy
from whit.training.optim import Optim, Optimizer
from whit.training.signals import Forward, accumulate

CPU = torch.device("cpu")
RUN = {
    "gpt2": {"n_inner": 48},  # learned positions, transposed linear layers
    "opt": {"ffn_dim": 48, "word_embed_proj_dim": 32, "layerdrop": 0.5},  # positions from 2 on, dropout by default
    "gpt_neox": {"hidden_dropout": 0.5},  # one matrix for queries, keys and values; parallel blocks
    "phi": {"partial_rotary_factor": 0.5},  # a head with a bias
    "olmo2": {},
    "mistral": {"sliding_window": 8},
    "cohere": {"logit_scale": 0.5},  # scaled logits
    "granite": {"logits_scaling": 4.0, "attention_multiplier": 0.3},
    "llama": {"rope_scaling": {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 32}},
}
REFUSED = {
    "gemma2": ({"head_dim": 16}, "its attention needs 'softcap'"),
    "gpt_oss": ({"head_dim": 16, "num_local_experts": 4}, "its attention needs 's_aux'"),
    "mamba": ({}, "carries a state"),
    "bloom": ({}, "attention that cannot be replaced"),
    "t5": ({}, "has an encoder"),
    "bert": ({}, "logits are off by"),
    "lfm2": ({"layer_types": ["conv", "full_attention", "conv"]}, "layers of the kind conv"),
    "llama4_text": ({}, "layers of the kind chunked_attention"),
    "vit": ({}, "no causal language model of it"),
}
EACH = pytest.mark.parametrize("kind", RUN)


def model_of(kind: str) -> Any:
    return reference(SIZES | {"model_type": kind} | RUN[kind])


def load(directory: Path, kind: str) -> tuple[Any, HubDecoder]:
    """transformers' own model in float64, and the same files behind our interface."""
    model = model_of(kind)
    model.save_pretrained(directory)
    return model, load_hub(directory, dtype=torch.float64)


def draw(*lengths: int) -> list[Tensor]:
    generator = torch.Generator().manual_seed(1)
    return [torch.randint(3, 96, (length,), generator=generator) for length in lengths]


def logits(decoder: HubDecoder, *documents: Tensor) -> Tensor:
    positions_L = torch.cat([torch.arange(len(d)) for d in documents])
    return decoder.logits(decoder(torch.cat(documents), positions_L, Packed([len(d) for d in documents], CPU)))


@EACH
@torch.no_grad()
def test_packed_documents_have_the_logits_of_transformers(kind, tmp_path):
    model, decoder = load(tmp_path, kind)
    documents = draw(3, 40, 1, 17)
    expected = torch.cat([model(document[None]).logits[0] for document in documents])
    assert (logits(decoder, *documents) - expected).abs().max() < 1e-8


@EACH
def test_the_engine_writes_what_transformers_generates(kind, tmp_path):
    model, decoder = load(tmp_path, kind)
    prompts = draw(5, 12, 1)
    engine = Engine(decoder, frozenset({2}), max_rows=2)
    completions = engine.generate([p.tolist() for p in prompts], GREEDY.model_copy(update={"max_new_tokens": 20}))
    for prompt, (completion,) in zip(prompts, completions, strict=True):
        mask = torch.ones_like(prompt[None])
        expected = model.generate(prompt[None], attention_mask=mask, do_sample=False, max_new_tokens=20, eos_token_id=2)
        assert list(completion.ids) == expected[0, len(prompt) :].tolist()


def gradients(decoder: HubDecoder, documents: list[Tensor]) -> dict[str, Tensor]:
    decoder.zero_grad()
    logits(decoder, *documents).tanh().pow(2).sum().backward()
    return {name: p.grad.clone() for name, p in decoder.named_parameters() if p.grad is not None}


@EACH
def test_gradients_are_transformers_and_recomputing_changes_none(kind, tmp_path):
    model, decoder = load(tmp_path, kind)
    documents = draw(20, 3, 11)
    for document in documents:
        model(document[None]).logits.tanh().pow(2).sum().backward()
    expected = {f"network.{name}": p.grad for name, p in model.named_parameters() if p.grad is not None}
    plain = gradients(decoder, documents)
    decoder.recompute = True
    again = gradients(decoder, documents)
    for name, gradient in expected.items():
        assert (plain[name] - gradient).abs().max() <= 1e-6 * gradient.abs().max() + 1e-12
        assert (again[name] - plain[name]).abs().max() <= 1e-12 * gradient.abs().max() + 1e-12


def test_recomputing_keeps_fewer_activations(tmp_path):
    _, decoder = load(tmp_path, "gpt_neox")
    kept = []
    for decoder.recompute in (False, True):
        sizes: list[int] = []
        with torch.autograd.graph.saved_tensors_hooks(lambda t, sizes=sizes: sizes.append(t.numel()) or t, lambda t: t):
            logits(decoder, *draw(40))
        kept.append(sum(sizes))
    assert kept[1] < kept[0] / 2


def test_the_loop_trains_the_bias_of_a_head(tmp_path):
    model, decoder = load(tmp_path, "phi")
    (tokens_L,) = draw(20)
    optimizer = Optimizer(decoder, Optim(), peak_lr=0.01)
    batch = collate([Document(tokens_L.tolist(), ((5, 20),))], CPU)
    accumulate(Forward(decoder), batch, [Term(cross_entropy)], {"cross_entropy": [1 / 15]}, optimizer, 0.0)
    torch.nn.functional.cross_entropy(model(tokens_L[None]).logits[0, 4:-1], tokens_L[5:]).backward()
    for name, parameter in decoder.network.named_parameters():
        expected = model.get_parameter(name).grad
        assert (parameter.grad - expected).abs().max() <= 1e-6 * expected.abs().max()  # losses are float32


@EACH
def test_the_shape_has_the_cost_of_the_matrices(kind, tmp_path):
    model, decoder = load(tmp_path, kind)
    shape = decoder.config.shape
    embeddings = {id(m.weight) for m in model.modules() if isinstance(m, torch.nn.Embedding)}
    weights = [p for p in model.base_model.parameters() if p.dim() == 2 and id(p) not in embeddings]
    assert shape.body_parameters == sum(p.numel() for p in weights)
    assert (shape.vocab_size, shape.width, shape.num_layers) == (96, 32, 3)
    assert shape.is_tied == model.config.tie_word_embeddings
    assert decoder.config.max_length == 128
    planned = hub_shape(tmp_path)  # from the config alone: heads that share keys and values are taken at its word
    assert (planned.vocab_size, planned.width, planned.is_tied) == (96, 32, shape.is_tied)
    assert planned.body_parameters == pytest.approx(shape.body_parameters, rel=0.02)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@torch.no_grad()
def test_a_policy_is_saved_for_transformers_with_its_own_config(dtype, tmp_path):
    from transformers import AutoModelForCausalLM

    reference(SIZES | {"model_type": "opt", "vocab_size": 300} | RUN["opt"]).save_pretrained(tmp_path / "a")
    tokenizer().save_pretrained(tmp_path / "a")
    policy = load_policy(tmp_path / "a")
    assert isinstance(policy.decoder, HubDecoder)
    policy.save(tmp_path / "b", getattr(torch, dtype))
    model, report = AutoModelForCausalLM.from_pretrained(tmp_path / "b", output_loading_info=True)
    before, after = (json.loads((tmp_path / d / "config.json").read_text()) for d in "ab")
    assert after.pop("dtype") == dtype
    assert after == {name: value for name, value in before.items() if name != "dtype"}
    assert not any(report.values())
    (tokens_L,) = draw(20)
    expected = logits(load_policy(tmp_path / "b", dtype=dtype).decoder, tokens_L)
    torch.testing.assert_close(model.eval()(tokens_L[None]).logits[0], expected, rtol=0.05, atol=0.05)


@pytest.mark.parametrize("kind", REFUSED)
def test_what_needs_more_than_causal_attention_is_refused_with_the_reason(kind, tmp_path):
    from transformers import AutoConfig, AutoModel, AutoModelForCausalLM

    entries, reason = REFUSED[kind]
    config = AutoConfig.for_model(kind, **SIZES | entries)
    is_causal = type(config) in AutoModelForCausalLM._model_mapping
    (AutoModelForCausalLM if is_causal else AutoModel).from_config(config).save_pretrained(tmp_path)
    with pytest.raises(ModelError, match=f"cannot run a model of type '{kind}': .*{reason}"):
        load_hub(tmp_path)


def test_rope_that_changes_with_the_length_is_kept_inside_the_original_one(tmp_path):
    rope = {"rope_type": "dynamic", "factor": 2.0, "original_max_position_embeddings": 64, "rope_theta": 1e4}
    reference(SIZES | {"model_type": "llama", "rope_parameters": rope}).save_pretrained(tmp_path)
    assert load_hub(tmp_path).config.max_length == 64


def test_weights_that_do_not_fit_are_refused(tmp_path):
    model_of("gpt2").save_pretrained(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps(config | {"n_layer": 4}))
    with pytest.raises(ModelError, match=r"weights do not fit config.json; .*h\.3"):
        load_hub(tmp_path)
