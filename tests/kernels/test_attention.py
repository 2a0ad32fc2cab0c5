"""Attention inside documents and its gradients, compiled, against the definition in float64."""

import pytest
import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

from whit.kernels import build
from whit.kernels.attention import attend_documents, document_table
from whit.models.attention import Packed

pytestmark = pytest.mark.skipif(build.library() is None, reason=f"not compiled: {build.why_not()}")
CPU = torch.device("cpu")
ROWS = {
    "one token": ([1], []),
    "one document": ([37], []),
    "several": ([5, 64, 1, 130, 8], []),
    "a shared prefix": ([20, 7, 33, 6], [(0, 0), (0, 20), (0, 20), (0, 20)]),
    "a part of a document shared": ([40, 3, 70], [(0, 0), (0, 0), (4, 17)]),
}


def drawn(tokens: int, heads: int, size: int, seed: int) -> Tensor:
    return torch.randn(tokens, heads, size, generator=torch.Generator().manual_seed(seed)).bfloat16()


def with_gradients(lengths, prefixes, tensors, dtype) -> list[Tensor]:
    leaves = [t.to(dtype).requires_grad_() for t in tensors]
    out = Packed(lengths, CPU, prefixes=prefixes)(0, *leaves, 0.2, 0)
    grad = drawn(*out.shape, seed=9).to(dtype)
    return [out.detach(), *torch.autograd.grad(out, leaves, grad)]


@pytest.mark.parametrize("heads", [(3, 3), (6, 2), (7, 1)], ids=str)
@pytest.mark.parametrize("size", [32, 64])
@pytest.mark.parametrize("row", ROWS)
def test_values_and_gradients_are_the_definitions(row, size, heads, monkeypatch):
    lengths, prefixes = ROWS[row]
    tokens = sum(lengths)
    tensors = drawn(tokens, heads[0], size, 1), drawn(tokens, heads[1], size, 2), drawn(tokens, heads[1], size, 3)
    compiled, exact = (with_gradients(lengths, prefixes, tensors, dtype) for dtype in (torch.bfloat16, torch.float64))
    monkeypatch.setattr("whit.models.attention.can_attend_documents", lambda *_: False)
    plain = with_gradients(lengths, prefixes, tensors, torch.bfloat16)
    for name, ours, theirs, true in zip(("out", "q", "k", "v"), compiled, plain, exact, strict=True):
        assert ours.dtype == torch.bfloat16
        error, usual = (ours - true).norm(), (theirs - true).norm()
        assert error < 2 * usual + 0.004 * true.norm().clamp(min=1.0), (
            name
        )  # probabilities are rounded to bfloat16 before they meet the values


def test_a_token_sees_itself_and_what_comes_before_it_in_its_document_alone():
    q, k, v = drawn(12, 2, 32, 1), drawn(12, 1, 32, 2), drawn(12, 1, 32, 3)
    table = document_table([5, 7], [])
    out = attend_documents(q, k, v, table, 1.0)
    for changed in range(12):
        other_k, other_v = k.clone(), v.clone()
        other_k[changed], other_v[changed] = 3.0, -3.0
        moved = (attend_documents(q, other_k, other_v, table, 1.0) != out).flatten(1).any(1).nonzero()[:, 0].tolist()
        assert moved == list(range(changed, 5 if changed < 5 else 12))


def test_the_number_of_threads_changes_nothing(monkeypatch):
    lengths, prefixes = ROWS["a shared prefix"]
    tensors = drawn(66, 6, 32, 1), drawn(66, 3, 32, 2), drawn(66, 3, 32, 3)
    found = []
    for threads in (1, 2, 5):
        monkeypatch.setattr(torch, "get_num_threads", lambda count=threads: count)
        found.append(with_gradients(lengths, prefixes, tensors, torch.bfloat16))
    for other in found[1:]:
        assert all(a.equal(b) for a, b in zip(found[0], other, strict=True))


def test_scores_too_large_for_an_exponential_are_no_trouble():
    q = 40 * drawn(9, 1, 32, 1)
    out = attend_documents(q, q, drawn(9, 1, 32, 3), document_table([9], []), 1.0)
    expected = F.scaled_dot_product_attention(
        *(x.transpose(0, 1).double() for x in (q, q, drawn(9, 1, 32, 3))), is_causal=True, scale=1.0
    )
    assert torch.allclose(out.double(), expected.transpose(0, 1), atol=0.02)


def test_what_is_not_a_number_stays_none_and_in_its_document():
    q, k, v = drawn(9, 1, 32, 1), drawn(9, 1, 32, 2), drawn(9, 1, 32, 3)
    k[2] = float("nan")
    out = attend_documents(q, k, v, document_table([5, 4], []), 0.2)
    assert [bool(row.isnan().any()) for row in out] == [False, False, True, True, True, False, False, False, False]
