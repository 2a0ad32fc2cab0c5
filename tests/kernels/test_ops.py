"""The compiled operators against their definitions: the same numbers up to a last bit, gradients no worse, in any shape."""

import os
import subprocess
import sys

import pytest
import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

from whit.kernels import build, ops

needs_compiled = pytest.mark.skipif(build.library() is None, reason=f"not compiled: {build.why_not()}")


@pytest.fixture
def plain(monkeypatch):
    """Calls a function where nothing is compiled."""

    def call(function, *arguments):
        with monkeypatch.context() as patch:
            patch.setattr(ops, "runs", lambda *_: False)
            return function(*arguments)

    return call


def drawn(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed)).bfloat16()


def with_gradients(function, *tensors: Tensor) -> list[Tensor]:
    """The result and the gradients of a fixed weighted sum of it."""
    leaves = [t.detach().clone().requires_grad_() for t in tensors]
    out = function(*leaves)
    return [out.detach(), *torch.autograd.grad(out, leaves, drawn(*out.shape, seed=9).to(out.dtype))]


def angles(rows: int, size: int) -> tuple[Tensor, Tensor]:
    turn = torch.randn(rows, size // 2, generator=torch.Generator().manual_seed(3)).repeat(1, 2)
    return turn.cos(), turn.sin()


def turned(x: Tensor) -> Tensor:
    cos, sin = angles(x.shape[0], x.shape[2])
    return ops.rotate(x, (cos.to(x.dtype), sin.to(x.dtype)))


OPERATORS = {
    "rms_norm": (lambda x, w: ops.rms_norm(x, w, 1e-5), (drawn(7, 96), drawn(96, seed=1))),
    "rms_norm of heads": (lambda x, w: ops.rms_norm(x, w, 1e-6), (drawn(5, 3, 64), drawn(64, seed=1))),
    "silu_mul": (ops.silu_mul, (drawn(7, 33), drawn(7, 33, seed=1))),
    "rotate": (turned, (drawn(6, 3, 20),)),
}


@needs_compiled
@pytest.mark.parametrize("name", OPERATORS)
def test_an_operator_and_its_gradients_are_its_definitions(name, plain):
    function, tensors = OPERATORS[name]
    exact = with_gradients(function, *(t.double() for t in tensors))
    compiled, defined = with_gradients(function, *tensors), plain(with_gradients, function, *tensors)
    assert (compiled[0] != defined[0]).float().mean() < 1e-3
    for ours, theirs, true in zip(compiled, defined, exact, strict=True):
        assert ours.dtype == torch.bfloat16
        assert (ours - true).abs().max() <= 1.1 * (theirs - true).abs().max() + 1e-3


@needs_compiled
@pytest.mark.parametrize("name", OPERATORS)
def test_without_gradients_the_result_is_the_same(name):
    function, tensors = OPERATORS[name]
    expected = with_gradients(function, *tensors)[0]
    with torch.no_grad():
        assert function(*tensors).equal(expected)


@needs_compiled
@pytest.mark.parametrize("threads", [1, 2])
def test_several_threads_give_the_same(threads, monkeypatch):
    x, weight = drawn(50, 64), drawn(64, seed=1)
    expected = with_gradients(lambda x, w: ops.rms_norm(x, w, 1e-5), x, weight)
    monkeypatch.setattr(torch, "get_num_threads", lambda: threads)
    found = with_gradients(lambda x, w: ops.rms_norm(x, w, 1e-5), x, weight)
    assert found[0].equal(expected[0]) and found[1].equal(expected[1])
    assert torch.allclose(found[2].float(), expected[2].float(), rtol=0.01)


@needs_compiled
def test_halves_of_one_product_are_read_in_place(plain):
    gate, up = drawn(5, 64).chunk(2, -1)
    q, k = torch.split(drawn(5, 3 * 16), [2 * 16, 16], -1)
    assert ops.silu_mul(gate, up).equal(plain(ops.silu_mul, gate, up))
    assert turned(q.view(5, 2, 16)).equal(plain(turned, q.view(5, 2, 16)))
    assert turned(k.view(5, 1, 16)).equal(plain(turned, k.view(5, 1, 16)))


@needs_compiled
@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_what_is_not_a_number_does_not_become_one(bad):
    x = drawn(3, 32)
    x[1, 4] = bad
    with torch.no_grad():
        normed, gated = ops.rms_norm(x, drawn(32, seed=1), 1e-5), ops.silu_mul(x, x)
    assert normed[1].isnan().any() and not gated[1, 4].isfinite()
    assert normed[0].isfinite().all() and gated[0].isfinite().all()


@needs_compiled
def test_no_rows_are_no_work():
    assert ops.silu_mul(drawn(0, 8), drawn(0, 8)).shape == (0, 8)
    assert ops.rms_norm(drawn(0, 8), drawn(8), 1e-5).shape == (0, 8)


@needs_compiled
@pytest.mark.parametrize(
    ("heads", "kv_heads", "size"),
    [(9, 3, 64), (4, 4, 32), (2, 1, 128), (6, 2, 20), (14, 2, 64), (10, 1, 32), (6, 2, 128)],
)
@pytest.mark.parametrize("window", [0, 5, 33])
def test_one_new_token_attends_over_the_cache(heads, kv_heads, size, window):
    rows, length = 4, 90
    q, v = drawn(rows, heads, size), drawn(rows, kv_heads, size, seed=2)
    k = drawn(rows, kv_heads, 2 * size, seed=1)[..., ::2]  # of any layout
    keys, values = drawn(rows + 1, kv_heads, length, size, seed=3), drawn(rows + 1, kv_heads, length, size, seed=4)
    before = keys.clone()
    positions = torch.tensor([0, 3, 70, 89])
    with torch.no_grad():
        out = ops.attend(q, k, v, keys, values, positions, size**-0.5, window)
    for row, position in enumerate(positions.tolist()):
        assert keys[row, :, position].equal(k[row]) and values[row, :, position].equal(v[row])
        first = max(0, position - window + 1) if window else 0
        seen = [
            x[row, :, first : position + 1].double().repeat_interleave(heads // kv_heads, 0) for x in (keys, values)
        ]
        expected = F.scaled_dot_product_attention(q[row, :, None].double(), *seen)[:, 0]
        assert torch.allclose(out[row].double(), expected, atol=0.01)
    untouched = torch.ones(rows + 1, length, dtype=torch.bool)
    untouched[torch.arange(rows), positions] = False
    assert keys.transpose(1, 2)[untouched].equal(before.transpose(1, 2)[untouched])


def test_other_dtypes_and_gradients_are_left_to_pytorch():
    x = drawn(3, 2, 16)
    assert not ops.can_attend(x.float(), x.float())
    assert not ops.can_attend(x, x)  # gradients are on
    assert ops.rms_norm(x.double(), drawn(16).double(), 1e-5).dtype == torch.float64


@pytest.mark.parametrize(
    ("setting", "reason"), [({"PATH": ""}, "no C++ compiler"), ({"WHIT_KERNELS": "0"}, "WHIT_KERNELS=0")]
)
def test_without_a_compiler_pytorch_does_the_work_and_the_reason_is_told(setting, reason):
    code = (
        "import torch; from whit.kernels import build, ops; x = torch.ones(2, 8).bfloat16(); "
        "print(ops.silu_mul(x, x).shape, build.library(), build.why_not())"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], env={**os.environ, **setting}, capture_output=True, text=True, check=True
    )
    assert "torch.Size([2, 8]) None" in done.stdout and reason in done.stdout


def test_a_build_is_kept_by_its_content(tmp_path, monkeypatch):
    if build.library() is None:
        pytest.skip(f"not compiled: {build.why_not()}")
    monkeypatch.setattr(build, "CACHE", tmp_path)
    first = build._built("g++", build.SOURCES, build.FLAGS)
    assert build._built("g++", build.SOURCES, build.FLAGS) == first
    assert [p.name for p in tmp_path.iterdir()] == [first.name]
    assert build._built("g++", build.SOURCES, (*build.FLAGS, "-DOTHER")) != first


def test_a_compiler_that_fails_is_told(tmp_path, monkeypatch):
    source = tmp_path / "cpu.cpp"
    source.write_text("this is not C++")
    if build.library() is None:
        pytest.skip(f"not compiled: {build.why_not()}")
    found, why = build.open_library((str(source),), build.FLAGS, {})
    assert found is None and "could not build the operators" in why
