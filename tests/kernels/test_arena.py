"""Memory that tensors give back stays with the process inside, and goes to the system after."""

import subprocess
import sys
from collections import deque
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch

from whit.core.memory import held_bytes
from whit.kernels import arena
from whit.kernels.arena import kept_memory

MB = 1 << 20


@pytest.fixture
def opened():
    with kept_memory() as is_open:
        if not is_open:
            pytest.skip("the arena cannot be built here")
        yield


def filled(megabytes):
    return torch.ones(megabytes * MB, dtype=torch.uint8)


def test_memory_given_back_is_taken_again(opened):
    first = filled(3)
    address = first.data_ptr()
    del first
    assert filled(3).data_ptr() == address


def test_tensors_do_not_overlap(opened):
    kept = [torch.full((size, 1000), float(size)) for size in range(1, 300, 7)]
    for size in range(1, 300, 14):
        kept[size // 7] = torch.full((size + 3, 1000), -1.0)
    for index, tensor in enumerate(kept):
        assert tensor.unique().tolist() == [-1.0 if index % 2 == 0 else 7.0 * index + 1]


def test_neighbours_that_are_given_back_become_one_place(opened):
    a, b, c, end = filled(1), filled(1), filled(1), filled(1)
    addresses = sorted(t.data_ptr() for t in (a, b, c))
    assert addresses[2] - addresses[0] == 2 * MB
    del a, c, b
    assert filled(3).data_ptr() == addresses[0]
    del end


def test_a_tensor_outlives_the_arena(opened):
    with kept_memory():
        inside = filled(2)
    assert int(inside.sum()) == 2 * MB


def test_storage_can_grow(opened):
    storage = filled(1).untyped_storage()
    storage.resize_(2 * MB)
    assert storage.nbytes() == 2 * MB and storage[MB - 1] == 1


def test_the_system_gets_the_memory_at_the_end():
    with kept_memory() as is_open:
        if not is_open:
            pytest.skip("the arena cannot be built here")
        kept, left = filled(64), filled(64)
        del left
        inside = held_bytes()
    after = held_bytes()
    assert inside - after > 60 * MB
    del kept
    assert after - held_bytes() > 60 * MB


def test_pytorch_allocates_as_ever_where_there_is_no_arena(monkeypatch):
    monkeypatch.setattr(arena, "_library", lambda: None)
    with kept_memory() as is_open:
        assert not is_open and int(filled(1).sum()) == MB


def test_a_system_that_grants_no_addresses_is_no_error():
    code = (
        "import resource, torch; resource.setrlimit(resource.RLIMIT_AS, (8 << 30, 8 << 30))\n"
        "from whit.kernels import arena; arena._addresses = lambda: 1 << 44\n"
        "with arena.kept_memory() as is_open: print(is_open, torch.ones(1 << 20).sum())"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.startswith("False tensor(1048576.)")


def test_threads_may_take_and_give_at_once(opened):
    def work(value):
        kept = deque(maxlen=5)
        for step in range(200):
            kept.append(torch.full((40_000 + 1000 * (step % 17),), value))
        return all(bool((tensor == value).all()) for tensor in kept)

    with ThreadPoolExecutor(4) as pool:
        assert all(pool.map(work, [1.0, 2.0, 3.0, 4.0]))
