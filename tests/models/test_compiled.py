"""Compiled layers: kept where they are right and faster on this model, and otherwise nothing has changed."""

import pytest
import torch

from whit.data.batch import collate
from whit.models import compiled
from whit.models.compiled import compile_layers
from whit.testing.tiny import tiny_decoder, tiny_documents
from whit.training.signals import score

MUCH = 1e30  # operations of training ahead
BATCH = collate(tiny_documents((3, 4), (2, 6)), torch.device("cpu"))


@pytest.fixture(autouse=True)
def forgotten():
    yield
    torch._dynamo.reset()


def is_plain(decoder):
    return not any({"before", "after"} & set(vars(layer)) for layer in decoder.model.layers)


def timed(monkeypatch, *seconds):
    """Trials take these times, one after the other."""
    left = list(seconds)
    monkeypatch.setattr(compiled._Trial, "seconds", lambda self: left.pop(0))


def test_faster_layers_are_kept_and_give_the_same(monkeypatch):
    decoder = tiny_decoder(seed=1)
    expected, _ = score(decoder, BATCH)
    timed(monkeypatch, 1.0, 0.8)
    assert compile_layers(decoder, 32, MUCH, backend="aot_eager") == "compiled: a layer takes 0.80 of the time"
    assert not is_plain(decoder)
    assert torch.allclose(score(decoder, BATCH)[0], expected, atol=1e-12)


def test_all_layers_share_one_compilation(monkeypatch):
    count = 0

    def counting(graph, inputs):
        nonlocal count
        count += 1
        return graph.forward

    decoder = tiny_decoder(seed=1)
    timed(monkeypatch, 1.0, 0.8)
    compile_layers(decoder, 32, MUCH, backend=counting)
    tried = count
    score(decoder, BATCH)
    assert len(decoder.model.layers) > 1 and count - tried <= 2  # once more without gradient: before and after


def test_layers_that_gain_nothing_are_left(monkeypatch):
    decoder = tiny_decoder(seed=1)
    timed(monkeypatch, 1.0, 0.97)
    assert "takes 0.97 of the time" in compile_layers(decoder, 32, MUCH, backend="aot_eager")
    assert is_plain(decoder)


def test_with_little_training_ahead_nothing_is_tried(monkeypatch):
    decoder = tiny_decoder(seed=1)
    timed(monkeypatch, 1.0)
    assert "training takes about" in compile_layers(decoder, 32, 1e6, backend="never asked")
    assert is_plain(decoder)


def test_without_a_compiler_the_reason_is_told(monkeypatch):
    def none(graph, inputs):
        raise RuntimeError("no C++ compiler found")

    decoder = tiny_decoder(seed=1)
    timed(monkeypatch, 1.0)
    assert "no C++ compiler found" in compile_layers(decoder, 32, MUCH, backend=none)
    assert is_plain(decoder)


def test_a_result_that_is_not_a_number_is_found(monkeypatch):
    def broken(graph, inputs):
        return lambda *given: tuple(out * torch.nan if i else out for i, out in enumerate(graph.forward(*given)))

    decoder = tiny_decoder(seed=1)
    timed(monkeypatch, 1.0, 0.5)
    assert "results differ by inf" in compile_layers(decoder, 32, MUCH, backend=broken)
    assert is_plain(decoder)


def test_wrong_results_are_found(monkeypatch):
    def wrong(graph, inputs):
        return lambda *given: tuple(1.01 * out if torch.is_tensor(out) else out for out in graph.forward(*given))

    decoder = tiny_decoder(seed=1)
    timed(monkeypatch, 1.0, 0.5)
    assert "results differ" in compile_layers(decoder, 32, MUCH, backend=wrong)
    assert is_plain(decoder)
