"""What is kept of a teacher's distribution: the likeliest tokens are its own, the drawn ones are right on average."""

import pytest
import torch
from torch import tensor

from whit.core.errors import RunError
from whit.data.batch import Document
from whit.data.sparse import sampled_entries, top_entries, uniforms
from whit.testing.tiny import tiny_documents

P = tensor([0.7, 0.2, 0.1])


def test_the_likeliest_tokens_by_hand():
    ids_TK, logprobs_TK = top_entries(P[[2, 0, 1]].log()[None] + 5, 2)  # adding a constant changes nothing
    assert ids_TK.tolist() == [[1, 2]]
    assert logprobs_TK.exp().tolist() == [pytest.approx([0.7, 0.2])]


def test_all_tokens_are_the_dense_log_softmax():
    logits_TV = torch.randn(5, 9, generator=torch.Generator().manual_seed(0)).bfloat16()
    ids_TK, logprobs_TK = top_entries(logits_TV, 99)
    assert ids_TK.dtype == torch.int64 and logprobs_TK.dtype == torch.float32
    torch.testing.assert_close(logprobs_TK, logits_TV.float().log_softmax(-1).gather(-1, ids_TK))
    assert (logprobs_TK.diff() <= 0).all() and ids_TK.sort(-1).values.tolist() == [list(range(9))] * 5


def test_draws_by_hand():
    # sums of p: 0.7, 0.9, 1
    ids_TK, counts_TK = sampled_entries(
        P.log().expand(3, 3), tensor([[0.1, 0.95, 0.2, 0.0], [0.8, 0.75, 0.89, 0.71], [0.99, 0.5, 0.8, 0.6]])
    )
    assert ids_TK.tolist() == [[0, 2, 0], [1, 0, 0], [0, 1, 2]]
    assert counts_TK.tolist() == [[3, 1, 0], [4, 0, 0], [2, 1, 1]]


def test_shares_average_to_the_probabilities_and_five_draws_give_two_tokens():
    """1 - 0.3^5 + 1 - 0.8^5 + 1 - 0.9^5 = 2.0794 different tokens of 5 draws."""
    document = Document(ids=[0] * 20_001, spans=((1, 20_001),))
    ids_TK, counts_TK = sampled_entries(P.log().expand(20_000, 3), uniforms(0, document, 5))
    assert (counts_TK.sum(-1) == 5).all()
    shares_V = torch.zeros(3).index_add(0, ids_TK.flatten(), counts_TK.flatten() / 5) / 20_000
    assert shares_V.tolist() == pytest.approx(P.tolist(), abs=0.005)  # 3 standard errors: 0.0043
    assert (counts_TK > 0).sum(-1).float().mean().item() == pytest.approx(2.0794, abs=0.013)  # the same


def test_a_higher_temperature_draws_from_the_flatter_distribution():
    flat_V = (P.log() / 2).softmax(-1)
    uniforms_TK = torch.rand(100, 40, generator=torch.Generator().manual_seed(0))
    at_two, directly = (
        sampled_entries(P.log().expand(100, 3), uniforms_TK, temperature=2.0),
        sampled_entries(flat_V.log().expand(100, 3), uniforms_TK),
    )
    assert torch.equal(at_two[0], directly[0]) and torch.equal(at_two[1], directly[1])


def test_a_token_of_probability_zero_is_never_drawn():
    logits_TV = tensor([[-torch.inf, 0.0, -torch.inf, 0.0, -torch.inf]])
    ids_TK, _ = sampled_entries(logits_TV, tensor([[0.0, 0.49, 0.5, 0.51, 1 - 2**-53]], dtype=torch.float64))
    assert ids_TK.tolist() == [[1, 3]]


def test_a_document_draws_the_same_whatever_stands_beside_it():
    one, other = tiny_documents((3, 20), (3, 30))
    logits_TV = torch.randn(50, 64, generator=torch.Generator().manual_seed(1))
    alone = sampled_entries(logits_TV[:20], uniforms(7, one))
    together = sampled_entries(logits_TV, torch.cat([uniforms(7, one), uniforms(7, other)]))
    width = alone[0].shape[1]
    for mine, ours in zip(alone, together, strict=True):
        assert torch.equal(mine, ours[:20, :width]) and not ours[:20, width:].any()
    assert uniforms(7, one).shape == (20, 50)
    assert not torch.equal(uniforms(7, one), uniforms(8, one))
    assert not torch.equal(uniforms(7, one), uniforms(7, other)[:20])


def test_no_supervised_tokens_give_no_entries():
    document = Document(ids=(1, 2), spans=())
    assert [part.shape for part in top_entries(torch.zeros(0, 8), 3)] == [(0, 3)] * 2
    assert [part.shape for part in sampled_entries(torch.zeros(0, 8), uniforms(0, document))] == [(0, 0)] * 2


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_logits_that_are_no_numbers_are_refused_with_their_place(bad):
    logits_TV = torch.zeros(4, 8)
    logits_TV[2, 5] = bad
    with pytest.raises(RunError, match="supervised token 2 are not finite"):
        top_entries(logits_TV, 3)
    with pytest.raises(RunError, match="supervised token 2 are not finite"):
        sampled_entries(logits_TV, torch.rand(4, 5))
