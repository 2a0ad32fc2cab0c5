"""Documents of any lengths in one call: the layout that a GPU's kernel is given, held against attention one by one."""

import pytest
import torch

from whit.kernels import varlen
from whit.kernels.varlen import Layout, attend_varlen, largest_difference
from whit.models.attention import Packed

CPU = torch.device("cpu")
LENGTHS, PREFIXES = [3, 2, 4], [(0, 0), (0, 3), (0, 0)]


def kernel(q, k, v, cu_q, cu_k, max_q, max_k, *, scale, window_size, enable_gqa, shift=0):
    """What PyTorch's function is documented to do: the last query of a document sees its last key."""
    left, right = window_size
    assert right == 0 and enable_gqa == (q.shape[1] != k.shape[1])
    assert max_q == cu_q.diff().max() and max_k == cu_k.diff().max() and cu_q.dtype == torch.int32
    group, outs = q.shape[1] // k.shape[1], []
    for a, b, c, d in zip(cu_q, cu_q[1:], cu_k, cu_k[1:], strict=False):
        own_k, own_v = (x[c:d].repeat_interleave(group, 1) for x in (k, v))
        scores = torch.einsum("qhd,khd->hqk", q[a:b], own_k) * scale
        distance = torch.arange(d - c - (b - a) + shift, d - c + shift)[:, None] - torch.arange(d - c)
        seen = (distance >= 0) & ((distance <= left) if left >= 0 else True)
        outs.append(torch.einsum("hqk,khd->qhd", scores.masked_fill(~seen, -torch.inf).softmax(-1), own_v))
    return torch.cat(outs)


def test_a_document_goes_on_from_its_prefix():
    layout = Layout.of(LENGTHS, PREFIXES, CPU)
    assert layout.query_ends.tolist() == [0, 3, 5, 9]
    assert layout.key_ends.tolist() == [0, 3, 8, 12]
    assert layout.keys.tolist() == [0, 1, 2, 0, 1, 2, 3, 4, 5, 6, 7, 8]
    assert layout.longest == (4, 5)


def test_without_prefixes_keys_stand_where_they_are():
    layout = Layout.of(LENGTHS, [], CPU)
    assert layout.keys is None and layout.key_ends.tolist() == layout.query_ends.tolist() == [0, 3, 5, 9]


def test_it_is_attention_document_by_document():
    assert largest_difference(kernel, CPU, torch.float64) < 1e-12


@torch.no_grad()
def test_it_is_compared_where_gradients_are_off():
    assert largest_difference(kernel, CPU, torch.float64) < 1e-12


def test_a_kernel_that_sees_the_next_token_is_found():
    wrong = lambda *given, **named: kernel(*given, **named, shift=1)  # noqa: E731
    assert largest_difference(wrong, CPU, torch.float64) > varlen.TOLERANCE


@pytest.mark.parametrize("window", [0, 2])
def test_it_is_what_padded_blocks_give(window, monkeypatch):
    q, k, v = (torch.randn(9, heads, 8, dtype=torch.float64) for heads in (4, 2, 2))
    padded = Packed(LENGTHS, CPU, prefixes=PREFIXES)(0, q, k, v, 0.3, window)
    monkeypatch.setattr(varlen, "_function", lambda: kernel)
    monkeypatch.setattr("whit.models.attention.can_attend_varlen", lambda _: True)
    assert torch.allclose(Packed(LENGTHS, CPU, prefixes=PREFIXES)(0, q, k, v, 0.3, window), padded, atol=1e-12)
    assert torch.allclose(attend_varlen(q, k, v, Layout.of(LENGTHS, PREFIXES, CPU), 0.3, window), padded, atol=1e-12)


def test_where_it_cannot_run_the_reason_is_told(monkeypatch):
    monkeypatch.setattr(varlen, "largest_difference", lambda *_: (_ for _ in ()).throw(RuntimeError("no kernel image")))
    with pytest.warns(UserWarning, match="padded for attention: no kernel image"):
        assert varlen._function.__wrapped__() is None


def test_where_it_differs_it_is_left(monkeypatch):
    monkeypatch.setattr(varlen, "largest_difference", lambda *_: 0.5)
    with pytest.warns(UserWarning, match=r"differs by 0\.5"):
        assert varlen._function.__wrapped__() is None
