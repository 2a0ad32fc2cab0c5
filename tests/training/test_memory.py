"""Micro-batches as long as memory allows: what is kept of a token is counted, what cannot fit is said before it fails."""

import pytest
import torch

from whit.core.errors import BudgetError
from whit.core.memory import held_bytes, total_bytes
from whit.testing.tiny import tiny_decoder
from whit.training import memory
from whit.training.memory import CPU_TOKENS, MIN_TOKENS, Memory, kept_bytes, plan_memory
from whit.training.optim import Optim, Optimizer

GIB = 1 << 30


@pytest.fixture
def limits(monkeypatch):
    """Sets the bytes that may be used, with 1 GiB held."""

    def set_to(limit: float) -> None:
        monkeypatch.setattr(memory, "_limits", lambda device: (limit, GIB))

    return set_to


def planned(decoder, max_tokens: int = 0) -> Memory:
    return plan_memory(decoder, Optimizer(decoder, Optim(), 1e-3), max_tokens)


def test_the_bytes_kept_of_a_linear_layer_are_its_input():
    class Line(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.linear = torch.nn.Linear(8, 4)

        def forward(self, tokens_L, positions_L, attention):
            return self.linear(torch.ones(len(tokens_L), 8))

    assert kept_bytes(Line(), 10) == 10 * 8 * 4


def test_what_is_kept_grows_with_the_tokens_and_checkpointing_keeps_less():
    decoder = tiny_decoder(seed=0)
    whole = kept_bytes(decoder, 64)
    assert 1.8 < kept_bytes(decoder, 128) / whole < 2.2
    decoder.recompute = True
    assert kept_bytes(decoder, 64) < whole / 3


def test_a_machine_with_much_memory_takes_the_most_tokens_that_pay(limits):
    limits(64 * GIB)
    decoder = tiny_decoder(seed=0)
    assert planned(decoder).max_tokens == CPU_TOKENS
    assert planned(decoder, max_tokens=77).max_tokens == 77
    assert not decoder.recompute


def test_less_memory_shortens_micro_batches_to_a_power_of_two(limits):
    decoder = tiny_decoder(seed=0)
    per_token = planned(decoder).token_bytes
    limits(
        GIB + memory.HEAD_BYTES + memory.STATE_BYTES * sum(p.numel() for p in decoder.parameters()) + 300 * per_token
    )
    assert planned(decoder).max_tokens == 256


def test_tokens_that_keep_much_are_taken_fewer_at_a_time_on_a_cpu(limits, monkeypatch):
    limits(64 * GIB)
    monkeypatch.setattr(memory, "kept_bytes", lambda decoder, count: count * (16 << 20))
    assert planned(tiny_decoder(seed=0)).max_tokens == MIN_TOKENS


def test_weights_that_do_not_fit_are_refused(limits):
    limits(GIB)
    with pytest.raises(BudgetError, match=r"takes .* before its first token.*lora"):
        planned(tiny_decoder(seed=0))


def test_a_long_document_turns_checkpointing_on_and_one_too_long_is_refused():
    decoder = tiny_decoder(seed=0)
    room = Memory(max_tokens=512, free_bytes=1000.0, token_bytes=10.0, recomputed_bytes=1.0)
    room.make_room(decoder, 100)
    assert not decoder.recompute
    room.make_room(decoder, 101)
    assert decoder.recompute
    with pytest.raises(BudgetError, match=r"1,001 tokens .* up to 1,000 tokens fit"):
        room.make_room(decoder, 1001)


def test_fewer_threads_are_no_less_memory(monkeypatch):
    monkeypatch.setattr(torch, "get_num_threads", lambda: 1)
    limit, held = memory._limits(torch.device("cpu"))
    assert limit == memory.USABLE_FRAC * total_bytes() and 0 < held <= total_bytes()


def test_a_containers_limit_counts(tmp_path, monkeypatch):
    physical = total_bytes()
    file = tmp_path / "memory.max"
    monkeypatch.setattr("whit.core.memory.CGROUP", file)
    for text, expected in (("1000\n", 1000), ("max\n", physical), (str(10**15), physical)):
        file.write_text(text)
        assert total_bytes() == expected
    monkeypatch.setattr("whit.core.memory.STATM", tmp_path / "none")
    assert held_bytes() > 1 << 20
