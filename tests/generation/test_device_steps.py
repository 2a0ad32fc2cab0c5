"""Several steps before the host looks: the same completions as one step at a time, whatever ends when."""

import gc
import weakref

import pytest
import torch

from whit.generation import device_steps
from whit.generation.device_steps import LOOK, DeviceSteps
from whit.generation.engine import Engine
from whit.generation.sampler import GREEDY, Sampling
from whit.models.attention import Cache
from whit.testing.tiny import tiny_decoder, tiny_documents

STOPS = frozenset({3, 5})
DECODER = tiny_decoder(seed=1)
PROMPTS = [d.ids for d in tiny_documents((3, 0), (9, 0), (1, 0), (6, 0), (3, 0), (14, 0), (2, 0), seed=4)]


def generate(sampling, *, on_device, max_rows=3, num_samples=2, **given):
    engine = Engine(DECODER, STOPS, max_rows=max_rows, on_device=on_device, decode=lambda ids: "".join(map(chr, ids)))
    return engine.generate(PROMPTS, sampling, num_samples=num_samples, seed=9, **given)


def assert_same(ours, expected):
    for group, expected_group in zip(ours, expected, strict=True):
        for a, b in zip(group, expected_group, strict=True):
            assert (a.ids, a.finish) == (b.ids, b.finish)
            assert a.logprobs == pytest.approx(b.logprobs, abs=1e-9)


@pytest.mark.parametrize("max_rows", [1, 3, 64])
@pytest.mark.parametrize("given", [{"temperature": 0.0}, {}, {"temperature": 0.6, "top_p": 0.9}, {"top_k": 5}])
@pytest.mark.parametrize("max_new_tokens", [1, 12, LOOK, 40])
def test_completions_are_those_of_one_step_at_a_time(max_rows, given, max_new_tokens):
    sampling = Sampling(max_new_tokens=max_new_tokens, **given)
    several = generate(sampling, on_device=True, max_rows=max_rows)
    assert_same(several, generate(sampling, on_device=False, max_rows=max_rows))


def test_a_stop_string_ends_a_completion_in_the_middle_of_a_look():
    sampling = Sampling(max_new_tokens=30)
    text = "".join(map(chr, generate(sampling, on_device=False, num_samples=1)[0][0].ids))
    sampling = Sampling(max_new_tokens=30, stop=(text[1:3],))
    several = generate(sampling, on_device=True, num_samples=1)
    assert several[0][0].finish == "stop" and len(several[0][0].ids) == 3
    assert_same(several, generate(sampling, on_device=False, num_samples=1))


def test_the_models_context_ends_a_completion():
    limit = DECODER.config.max_length
    sampling = Sampling(max_new_tokens=2 * limit, temperature=2.0)
    several = generate(sampling, on_device=True)
    assert_same(several, generate(sampling, on_device=False))
    ends = [len(prompt) + len(c.ids) for prompt, group in zip(PROMPTS, several, strict=True) for c in group]
    assert max(ends) <= limit


def test_every_new_token_is_told_once():
    told = []
    groups = generate(Sampling(max_new_tokens=20), on_device=True, notify=told.append)
    assert sum(told) == sum(len(c.ids) for group in groups for c in group)


def test_the_next_call_takes_the_same_state_and_sees_new_weights():
    decoder = tiny_decoder(seed=1)
    engine = Engine(decoder, STOPS, on_device=True)
    engine.generate(PROMPTS, GREEDY.within(12))
    steps = engine._steps
    with torch.no_grad():
        for parameter in decoder.parameters():
            parameter.add_(0.1 * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(0)))
    assert_same(
        engine.generate(PROMPTS, GREEDY.within(12)), Engine(decoder, STOPS).generate(PROMPTS, GREEDY.within(12))
    )
    assert engine._steps is steps
    engine.generate(PROMPTS, Sampling(max_new_tokens=12))
    assert engine._steps is not steps


class Nothing:
    """Stands for a stream of CUDA, and for what waits on it."""

    def __init__(self, *_, **__):
        pass

    def __enter__(self):
        return self

    def __exit__(self, *_):
        return False

    def wait_stream(self, _):
        pass


class Recorded:
    """Stands for a CUDA graph: what ran while it was captured runs again when it is replayed."""

    def __init__(self):
        self.step, self.replayed = None, 0

    def pool(self):
        return "pool"

    def replay(self):
        self.replayed += 1
        self.step()


def on_a_stand_in(monkeypatch, *, fails=False):
    """Device steps on a CPU that take it for CUDA; capturing runs the step once, as the stand-in can no other way."""

    class Capture(Nothing):
        def __init__(self, graph, pool=None):
            self.graph = graph

        def __exit__(self, *_):
            if fails:
                raise RuntimeError("capture was invalidated")
            return False

    for name in ("Stream", "stream", "current_stream"):
        monkeypatch.setattr(device_steps.torch.cuda, name, Nothing)
    monkeypatch.setattr(device_steps.torch.cuda, "graph", Capture)
    monkeypatch.setattr(device_steps.torch.cuda, "CUDAGraph", Recorded)
    monkeypatch.setattr(DeviceSteps, "can_capture", True)
    plain = DeviceSteps._captured

    def captured(self, rows, length):
        graph = plain(self, rows, length)
        graph.step = lambda: self._step(rows, length)
        return graph

    monkeypatch.setattr(DeviceSteps, "_captured", captured)
    shape = DECODER.config.shape
    cache = Cache(shape.num_layers, 4, shape.num_kv_heads, 32, shape.head_size, next(DECODER.parameters()))
    steps = DeviceSteps(DECODER, cache, torch.zeros(shape.vocab_size, dtype=torch.bool), GREEDY)
    assert not steps.captures  # there is no GPU
    steps.captures = True
    return steps


GIVEN = ([7, 8, 9], [0, 0, 0], torch.zeros(5, 3))


@torch.no_grad()
def test_what_is_captured_is_replayed_from_the_state_before_it(monkeypatch):
    steps = on_a_stand_in(monkeypatch)
    captured = steps.run(*GIVEN)
    graph = steps.graphs[4, 32]
    assert graph.replayed == 5 and steps.pool == "pool" and steps.at.item() == 5
    steps.captures = False
    assert captured == steps.run(*GIVEN)
    steps.captures = True
    steps.run(*GIVEN)
    assert graph.replayed == 10 and len(steps.graphs) == 1


@torch.no_grad()
def test_a_step_that_cannot_be_captured_runs_as_it_is_from_then_on(monkeypatch):
    steps = on_a_stand_in(monkeypatch, fails=True)
    with pytest.warns(UserWarning, match="without CUDA graphs: capture was invalidated"):
        ours = steps.run(*GIVEN)
    assert not DeviceSteps.can_capture and not steps.graphs
    steps.captures = False
    assert ours == steps.run(*GIVEN)


def test_other_settings_free_the_cache_of_the_last_ones_at_once():
    engine = Engine(DECODER, STOPS, on_device=True)
    engine.generate(PROMPTS, GREEDY.within(4))
    kept = weakref.ref(engine._steps)
    gc.disable()
    try:
        engine.generate(PROMPTS, Sampling(max_new_tokens=4))
        assert kept() is None
    finally:
        gc.enable()
