"""The compiled step against the model itself: as near to the exact logits as its own forward pass in bfloat16 is."""

import os
import subprocess
import sys

import pytest
import torch

from whit.generation.engine import Engine
from whit.generation.sampler import Sampling
from whit.kernels import build
from whit.models import step as step_module
from whit.models.adapters import Lora, add_lora
from whit.models.attention import Cache, Cached
from whit.models.step import compiled_step
from whit.testing.tiny import tiny_decoder

needs_compiled = pytest.mark.skipif(build.library() is None, reason=f"not compiled: {build.why_not()}")
KINDS = {
    "llama": {},
    "head of its own": {"tie_word_embeddings": False, "vocab_size": 77},
    "biases": {"model_type": "qwen2"},
    "norms of heads": {"model_type": "qwen3", "head_dim": 8, "num_attention_heads": 4, "num_key_value_heads": 2},
    "heads of 64": {"head_dim": 64, "num_attention_heads": 7, "num_key_value_heads": 1},
    "heads of 128": {"head_dim": 128, "num_attention_heads": 6, "num_key_value_heads": 2},
    "rescaled positions": {"rope_scaling": {"rope_type": "linear", "factor": 4.0}},
    "uneven sizes": {"hidden_size": 66, "intermediate_size": 102, "head_dim": 10, "num_attention_heads": 6,
                     "num_key_value_heads": 3},
}  # fmt: skip


@pytest.fixture(autouse=True)
def no_amx(monkeypatch):
    monkeypatch.setattr(step_module, "has_amx", lambda: False)


def cache_of(decoder, rows: int, length: int = 24) -> Cache:
    shape = decoder.config.shape
    like = next(decoder.parameters())
    return Cache(shape.num_layers, rows, shape.num_kv_heads, length, shape.head_size, like)


def drawn(kind: str):
    decoder = tiny_decoder(seed=3, dtype=torch.float32, **KINDS[kind])
    generator = torch.Generator().manual_seed(1)
    for name, parameter in decoder.named_parameters():
        if parameter.dim() == 1:  # biases and norms that say something
            parameter.data += 0.3 * torch.randn(parameter.shape, generator=generator)
        assert name
    return decoder.bfloat16()


@needs_compiled
@torch.no_grad()
@pytest.mark.parametrize("rows", [1, 3, 8, 13])
@pytest.mark.parametrize("kind", KINDS)
def test_logits_and_cache_are_those_of_the_model(kind, rows):
    decoder = drawn(kind)
    exact = tiny_decoder(dtype=torch.float64, **KINDS[kind])
    exact.load_state_dict(decoder.state_dict())
    caches = [cache_of(decoder, rows), cache_of(decoder, rows), cache_of(exact, rows)]
    step = compiled_step(decoder, caches[0], rows)
    assert step
    for position in range(20):
        tokens_B = (torch.arange(rows) * 7 + position * 3) % 64
        positions_B = torch.full((rows,), position)
        ours = step(tokens_B, positions_B)
        plain, true = (
            model.logits(model(tokens_B, positions_B, Cached(cache, positions_B, position + 1)))
            for model, cache in ((decoder, caches[1]), (exact, caches[2]))
        )
        error, usual = (ours - true).abs().mean(), (plain - true).abs().mean()
        assert error < 2 * usual + 1e-3
    for ours, plain in zip(caches[0].keys + caches[0].values, caches[1].keys + caches[1].values, strict=True):
        assert torch.allclose(ours.float(), plain.float(), rtol=0.1, atol=0.1)
        assert (ours[:, :, 20:] == 0).all()


GRANTED = """
import torch
from whit.models import step
from whit.models.attention import Cache
from whit.testing.tiny import tiny_decoder
step.has_amx = lambda: False
torch.set_num_threads(2)
decoder = tiny_decoder(seed=3, dtype=torch.bfloat16)
shape = decoder.config.shape
with torch.no_grad():
    cache = Cache(shape.num_layers, 3, shape.num_kv_heads, 8, shape.head_size, next(decoder.parameters()))
    print(step.compiled_step(decoder, cache, 3)(torch.tensor([1, 2, 3]), torch.zeros(3, dtype=torch.long)).float().tolist())
"""


@needs_compiled
@pytest.mark.parametrize("limit", [{"OMP_THREAD_LIMIT": "1"}, {"OMP_DYNAMIC": "true"}])
def test_fewer_threads_than_asked_for_compute_the_same(limit):
    def logits(**more):
        environment = {**os.environ, **more}
        return subprocess.run([sys.executable, "-c", GRANTED], env=environment, capture_output=True, check=True).stdout

    assert logits(**limit) == logits()


@needs_compiled
@torch.no_grad()
def test_rows_may_stand_at_different_positions():
    decoder = drawn("llama")
    together, alone = cache_of(decoder, 3), [cache_of(decoder, 1) for _ in range(3)]
    for cache in (together, *alone):
        for keys in (*cache.keys, *cache.values):
            keys.copy_(torch.randn(keys.shape[1:], generator=torch.Generator().manual_seed(5)))
    tokens_B, positions_B = torch.tensor([5, 6, 7]), torch.tensor([2, 9, 17])
    logits_BV = compiled_step(decoder, together, 3)(tokens_B, positions_B)
    for row, cache in enumerate(alone):
        own = compiled_step(decoder, cache, 1)(tokens_B[row, None], positions_B[row, None])
        assert own[0].equal(logits_BV[row])


@needs_compiled
def test_the_engine_reads_weights_that_have_changed():
    decoder = tiny_decoder(seed=3).bfloat16()
    engine = Engine(decoder, frozenset())
    before = engine.generate([[1, 2, 3]], Sampling(temperature=0.0, max_new_tokens=8))[0][0]
    decoder.load_state_dict(tiny_decoder(seed=4).bfloat16().state_dict())
    after = engine.generate([[1, 2, 3]], Sampling(temperature=0.0, max_new_tokens=8))[0][0]
    again = Engine(decoder, frozenset()).generate([[1, 2, 3]], Sampling(temperature=0.0, max_new_tokens=8))[0][0]
    assert before != after == again


@torch.no_grad()
def test_what_has_no_such_step_says_so(monkeypatch):
    decoder = tiny_decoder()
    assert compiled_step(decoder, cache_of(decoder, 2), 2) is None  # float64
    gemma = tiny_decoder(model_type="gemma3_text", head_dim=8).bfloat16()
    assert compiled_step(gemma, cache_of(gemma, 2), 2) is None
    odd = tiny_decoder(intermediate_size=25).bfloat16()
    assert compiled_step(odd, cache_of(odd, 2), 2) is None
    adapted = tiny_decoder().bfloat16()
    add_lora(adapted, Lora(rank=2), 0)
    assert compiled_step(adapted, cache_of(adapted, 2), 2) is None
    monkeypatch.setattr(step_module, "has_amx", lambda: True)
    plain = tiny_decoder().bfloat16()
    assert compiled_step(plain, cache_of(plain, 9), 9) is None
