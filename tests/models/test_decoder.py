"""Our decoder computes what transformers computes, however its tokens are laid out."""

import os
from pathlib import Path

import pytest
import torch
from tiny_models import EACH_VARIANT, SIZES, config_of, ours, reference
from torch import Tensor

from whit.core.flops import Shape
from whit.models.attention import Cache, Cached, Packed
from whit.models.config import parse_config
from whit.models.decoder import Decoder
from whit.models.load import fill, load_policy, save_decoder

CPU = torch.device("cpu")


def draw(*lengths: int, seed: int = 1) -> list[Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return [torch.randint(3, 96, (length,), generator=generator) for length in lengths]


def hidden(decoder: Decoder, *documents: Tensor, record: list | None = None) -> Tensor:
    positions_L = torch.cat([torch.arange(len(d)) for d in documents])
    return decoder(torch.cat(documents), positions_L, Packed([len(d) for d in documents], CPU, record))


@torch.no_grad()
def logits(decoder: Decoder, *documents: Tensor) -> Tensor:
    return decoder.logits(hidden(decoder, *documents))


@EACH_VARIANT
@torch.no_grad()
def test_logits_equal_transformers_in_float64(variant):
    raw, (tokens_L,) = config_of(variant), draw(40)
    model = reference(raw)
    assert (logits(ours(raw, model), tokens_L) - model(tokens_L[None]).logits[0]).abs().max() < 1e-8


@EACH_VARIANT
@torch.no_grad()
def test_float32_is_as_close_to_transformers_as_its_own_attentions_are_to_each_other(variant):
    raw, (tokens_L,) = config_of(variant), draw(40)
    sdpa, eager = (reference(raw, attention, torch.float32) for attention in ("sdpa", "eager"))
    expected = sdpa(tokens_L[None]).logits[0]
    own = (eager(tokens_L[None]).logits[0] - expected).abs().max()
    floor = 1e-6 * expected.abs().max()
    assert (logits(ours(raw, sdpa), tokens_L) - expected).abs().max() <= 3 * own + floor


@EACH_VARIANT
def test_both_spellings_of_a_config_mean_the_same(variant):
    from transformers import AutoConfig

    raw = config_of(variant)
    assert parse_config(AutoConfig.for_model(**raw).to_dict()) == parse_config(raw)


@pytest.mark.parametrize("family", ["llama", "qwen2", "qwen3", "gemma3_text"])
def test_a_missing_entry_means_what_transformers_takes_it_to_mean(family):
    from transformers import AutoConfig

    left_out = ("max_position_embeddings", "bos_token_id", "eos_token_id", "pad_token_id")
    raw = {"model_type": family} | {name: value for name, value in SIZES.items() if name not in left_out}
    assert parse_config(AutoConfig.for_model(**raw).to_dict()) == parse_config(raw)


@pytest.mark.parametrize(
    "entry",
    [
        {"model_type": "gpt2"},
        {"rope_scaling": {"rope_type": "yarn", "factor": 4.0}},
        {"use_sliding_window": True},
        {"attn_logit_softcapping": 50.0},
        {"use_bidirectional_attention": True},
        {"hidden_act": "relu"},
    ],
)
def test_what_we_do_not_compute_is_left_to_transformers(entry):
    assert parse_config(config_of("llama") | entry) is None


@EACH_VARIANT
@torch.no_grad()
def test_packed_documents_equal_separate_ones(variant):
    raw = config_of(variant)
    decoder, documents = ours(raw, reference(raw)), draw(3, 40, 1, 17, 38, 9)
    separate = torch.cat([logits(decoder, document) for document in documents])
    assert (logits(decoder, *documents) - separate).abs().max() < 1e-12


@EACH_VARIANT
@torch.no_grad()
def test_cached_decoding_equals_the_plain_forward_pass(variant):
    raw = config_of(variant)
    decoder, documents = ours(raw, reference(raw)), draw(33, 40, 25)
    shape, prompts = decoder.config.shape, (5, 20, 2)  # the last tokens stand past Gemma's window of 8 in each
    cache = empty_cache(shape, rows=3, length=40)
    record: list[tuple[Tensor, Tensor]] = []
    hidden(decoder, *(d[:n] for d, n in zip(documents, prompts, strict=True)), record=record)
    for layer, (k_LhD, v_LhD) in enumerate(record):
        for row, (k, v) in enumerate(zip(k_LhD.split(prompts), v_LhD.split(prompts), strict=True)):
            cache.fill(torch.tensor([row]), layer, k, v)
    expected = [logits(decoder, document) for document in documents]
    for step in range(20):
        positions_B = torch.tensor(prompts) + step
        tokens_B = torch.stack([d[p] for d, p in zip(documents, positions_B, strict=True)])
        hidden_BD = decoder(tokens_B, positions_B, Cached(cache, positions_B, int(positions_B.max()) + 1))
        for got, whole, position in zip(decoder.logits(hidden_BD), expected, positions_B, strict=True):
            assert (got - whole[position]).abs().max() < 1e-12


@torch.no_grad()
def test_a_prompt_shared_by_two_slots_and_a_moved_slot_decode_alike():
    raw = config_of("qwen3")
    decoder, (document,) = ours(raw, reference(raw)), draw(12)
    cache = empty_cache(decoder.config.shape, rows=3, length=12)
    record: list[tuple[Tensor, Tensor]] = []
    hidden(decoder, document[:11], record=record)
    for layer, (k_LhD, v_LhD) in enumerate(record):
        cache.fill(torch.tensor([0, 2]), layer, k_LhD, v_LhD)
    cache.move(2, 1, 11)
    positions_B = torch.tensor([11, 11])
    got = decoder.logits(decoder(document[[11, 11]], positions_B, Cached(cache, positions_B, 12)))
    assert (got - logits(decoder, document)[11]).abs().max() < 1e-12


def empty_cache(shape: Shape, rows: int, length: int) -> Cache:
    like = torch.empty(0, dtype=torch.float64)
    return Cache(shape.num_layers, rows, shape.num_kv_heads, length, shape.head_size, like)


def gradients(decoder: Decoder, *rows: list[Tensor]) -> dict[str, Tensor]:
    """The gradient of the sum over rows of one scalar of the logits."""
    decoder.zero_grad()
    for documents in rows:
        decoder.logits(hidden(decoder, *documents)).tanh().pow(2).sum().backward()
    return {name: parameter.grad.clone() for name, parameter in decoder.named_parameters()}


def largest_difference(a: dict[str, Tensor], b: dict[str, Tensor]) -> float:
    return max(float((a[name] - b[name]).abs().max() / a[name].abs().max()) for name in a)


@EACH_VARIANT
def test_the_gradient_of_a_packed_row_is_the_sum_of_separate_ones(variant):
    raw = config_of(variant)
    decoder, documents = ours(raw, reference(raw)), draw(20, 3, 11)
    packed, separate = gradients(decoder, documents), gradients(decoder, *([d] for d in documents))
    assert largest_difference(packed, separate) < 1e-6  # norms are float32 in every dtype, as published


@EACH_VARIANT
def test_recomputing_activations_changes_no_gradient(variant):
    raw = config_of(variant)
    decoder, documents = ours(raw, reference(raw)), draw(20, 3, 11)
    plain = gradients(decoder, documents)
    decoder.recompute = True
    assert largest_difference(plain, gradients(decoder, documents)) < 1e-12


def test_a_tied_head_stays_the_embedding(tmp_path):
    raw = config_of("llama-tied")
    decoder = ours(raw, reference(raw))
    save_decoder(decoder, tmp_path)
    with torch.device("meta"):
        empty = Decoder(decoder.config)
    loaded = fill(empty, {k: v for k, v in decoder.state_dict().items() if k != "lm_head.weight"}, tmp_path)
    for one in (decoder, loaded, loaded.to(torch.float32)):
        assert one.lm_head.weight is one.model.embed_tokens.weight
        assert sum(p.numel() for p in one.parameters()) == sum(p.numel() for p in decoder.parameters())


def test_initial_weights_depend_on_the_seed_alone():
    config = parse_config(config_of("llama-tied"))
    assert config is not None
    first, second = Decoder(config), Decoder(config)
    for decoder in (first, second):
        decoder.initialise(torch.Generator().manual_seed(3))
    assert all(torch.equal(a, b) for a, b in zip(first.parameters(), second.parameters(), strict=True))
    assert first.model.norm.weight.eq(1).all()
    assert 0.01 < first.model.layers[0].mlp.up_proj.weight.std() < 0.03


@pytest.mark.real
@pytest.mark.parametrize("name", ["smollm2-135m", "qwen2.5-coder-0.5b"])
@torch.no_grad()
def test_a_pretrained_model_gives_transformers_logits(name):
    from transformers import AutoModelForCausalLM

    path = Path(os.environ.get("WHIT_MODELS", "")) / name
    if "WHIT_MODELS" not in os.environ or not path.is_dir():
        pytest.skip(f"set WHIT_MODELS to a directory that holds {name}")
    policy = load_policy(path)
    sdpa = AutoModelForCausalLM.from_pretrained(path, dtype=torch.float32, attn_implementation="sdpa")
    prompts = ["The capital of France is", "def add(a, b):\n    return a + b\n\nprint(add(2, 3))  # prints"]
    for tokens_L in (torch.tensor(policy.tokenizer(prompt)["input_ids"]) for prompt in prompts):
        sdpa.set_attn_implementation("sdpa")
        expected = sdpa(tokens_L[None]).logits[0]
        sdpa.set_attn_implementation("eager")
        own = (sdpa(tokens_L[None]).logits[0] - expected).abs().max()
        got = logits(policy.decoder, tokens_L)
        assert (got - expected).abs().max() <= 3 * own + 1e-6 * expected.abs().max()
        assert torch.equal(got.argmax(-1), expected.argmax(-1))
