"""Adapters: nothing changes until they are trained, only they are trained, and PEFT reads what we write."""

import sys

import pytest
import torch
from tiny_models import SIZES, config_of, ours, reference

from whit.core.errors import ModelError, RecipeError
from whit.core.flops import train_flops
from whit.data.batch import Document, collate
from whit.models.adapters import Lora, adapters_off, add_lora, merge_lora, save_lora
from whit.models.attention import Packed
from whit.models.decoder import Decoder
from whit.models.hub import load_hub
from whit.models.load import save_decoder
from whit.objectives._types import Term
from whit.objectives.cross_entropy import cross_entropy
from whit.training.optim import Optim, Optimizer
from whit.training.signals import Forward, accumulate, score

TOKENS_L = torch.arange(3, 40)
LORA = Lora(rank=4, alpha=8)


def tiny(variant: str = "llama-tied", dtype: torch.dtype = torch.float64) -> Decoder:
    raw = config_of(variant)
    return ours(raw, reference(raw, dtype=dtype))


def logits(decoder) -> torch.Tensor:
    attention = Packed([len(TOKENS_L)], TOKENS_L.device)
    return decoder.logits(decoder(TOKENS_L, torch.arange(len(TOKENS_L)), attention)).detach()


def trained(decoder: Decoder, lora: Lora = LORA, seed: int = 0) -> Decoder:
    """Adapters after one step of the training loop's own gradient and optimizer."""
    add_lora(decoder, lora, seed)
    optimizer = Optimizer(decoder, Optim(warmup=0.0), peak_lr=0.01)
    batch = collate([Document(TOKENS_L.tolist(), ((5, 20),))], torch.device("cpu"))
    accumulate(Forward(decoder), batch, [Term(cross_entropy)], {"cross_entropy": [1 / 15]}, optimizer, 0.0)
    optimizer.step(0.0)
    return decoder


def test_new_adapters_change_nothing_and_depend_on_the_seed_alone():
    decoders = tiny(), tiny(), tiny()
    before, state = logits(decoders[0]), torch.random.get_rng_state()
    for decoder, seed in zip(decoders, (1, 1, 2), strict=True):
        add_lora(decoder, LORA, seed)
        assert torch.equal(logits(decoder), before)
    assert torch.equal(torch.random.get_rng_state(), state)
    first, second, third = (d.model.layers[0].mlp.up_proj.lora_A["default"].weight for d in decoders)
    assert torch.equal(first, second)
    assert not torch.equal(first, third)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("variant", ["llama-tied", "qwen2", "gemma3"])
def test_a_step_moves_the_adapters_and_nothing_else(variant, dtype):
    decoder = tiny(variant, dtype)
    base = {name: tensor.clone() for name, tensor in decoder.state_dict().items()}
    trained(decoder)
    after = decoder.state_dict()
    trainable = {name: p for name, p in decoder.named_parameters() if p.requires_grad}
    assert len(trainable) == 2 * 7 * SIZES["num_hidden_layers"]
    assert all("lora_" in name and p.dtype == dtype and p.abs().max() > 0 for name, p in trainable.items())
    for name, tensor in base.items():
        head, dot, leaf = name.rpartition(".")
        assert torch.equal(tensor, after.get(name, after.get(f"{head}.base_layer{dot}{leaf}")))


def test_adapters_have_the_parameters_that_they_are_charged_for():
    decoder = tiny()
    add_lora(decoder, LORA, 0)
    parameters = sum(p.numel() for p in decoder.parameters() if p.requires_grad)
    shape = decoder.config.shape
    assert train_flops(shape, 1, 0, 0, lora_rank=4) == 4 * shape.body_parameters + 6 * parameters


def test_merged_adapters_leave_a_plain_model_of_the_same_logits():
    decoder = tiny()
    names = list(decoder.state_dict())
    trained(decoder)
    expected = logits(decoder)
    merge_lora(decoder)
    assert list(decoder.state_dict()) == names
    assert all(type(m) is torch.nn.Linear for n, m in decoder.named_modules() if n.endswith("_proj"))
    assert all(p.requires_grad for p in decoder.parameters())
    assert (logits(decoder) - expected).abs().max() < 1e-12
    trained(decoder)  # a later stage can add its own


def test_adapters_off_is_the_model_before_and_gradients_survive_it():
    decoder = tiny()
    before = logits(decoder)
    trained(decoder)
    after = logits(decoder)
    hidden_LD = decoder(TOKENS_L, torch.arange(len(TOKENS_L)), Packed([len(TOKENS_L)], TOKENS_L.device))
    with adapters_off(decoder):
        assert torch.equal(logits(decoder), before)
    assert torch.equal(logits(decoder), after)
    assert not torch.equal(before, after)
    hidden_LD.sum().backward()
    assert all(p.grad is not None for p in decoder.parameters() if p.requires_grad)


def test_dropout_acts_on_gradients_only():
    decoder = trained(tiny(), Lora(rank=4, alpha=8, dropout=0.5))
    batch = collate([Document(TOKENS_L.tolist(), ((5, 20),))], torch.device("cpu"))
    assert torch.equal(score(decoder, batch)[0], score(decoder, batch)[0])
    assert not torch.equal(logits(decoder), logits(decoder))


@torch.no_grad()
def test_peft_reads_what_we_save(tmp_path):
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    decoder = tiny()
    save_decoder(decoder, tmp_path / "base")
    with torch.enable_grad():
        trained(decoder)
    save_lora(decoder, tmp_path / "adapter", LORA, str(tmp_path / "base"))
    model = AutoModelForCausalLM.from_pretrained(tmp_path / "base", dtype=torch.float64)
    plain = model(TOKENS_L[None]).logits[0]
    adapted = PeftModel.from_pretrained(model, tmp_path / "adapter")(TOKENS_L[None]).logits[0]
    assert (adapted - logits(decoder)).abs().max() < 1e-8
    assert (adapted - plain).abs().max() > 1e-3


@torch.no_grad()
def test_adapters_of_a_model_that_transformers_runs(tmp_path):
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    raw = {"model_type": "gpt2", "vocab_size": 96, "n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": 128}
    reference(raw).save_pretrained(tmp_path / "base")
    decoder = load_hub(tmp_path / "base", dtype=torch.float64)
    names, lora = list(decoder.state_dict()), Lora(rank=4, alpha=8, targets=("c_attn", "c_fc", "c_proj"))
    with torch.enable_grad():
        trained(decoder, lora)
    save_lora(decoder, tmp_path / "adapter", lora, str(tmp_path / "base"))
    model = AutoModelForCausalLM.from_pretrained(tmp_path / "base", dtype=torch.float64).eval()
    adapted = PeftModel.from_pretrained(model, tmp_path / "adapter")(TOKENS_L[None]).logits[0]
    assert (adapted - logits(decoder)).abs().max() < 1e-8
    merge_lora(decoder)
    assert list(decoder.state_dict()) == names
    assert (adapted - logits(decoder)).abs().max() < 1e-8


def test_a_target_that_is_not_there_is_refused():
    with pytest.raises(RecipeError, match=r"no linear layer 'up_prj'. Did you mean 'up_proj'"):
        add_lora(tiny(), Lora(targets=("up_prj",)), 0)


def test_without_peft_the_error_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "peft", None)
    with pytest.raises(ModelError, match=r"pip install 'whit\[lora\]'"):
        add_lora(tiny(), LORA, 0)
