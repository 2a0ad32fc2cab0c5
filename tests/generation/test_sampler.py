"""The next token: one uniform number through the inverse of a cumulative distribution."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from whit.core.seeds import key64
from whit.generation import sampler
from whit.generation.sampler import GREEDY, Sampling, choose, uniforms
from whit.kernels import build

QUARTERS = torch.tensor([[0.50, 0.25, 0.15, 0.10]], dtype=torch.float64).log()
GRID = (torch.arange(1000, dtype=torch.float64) + 0.5) / 1000


def shares(logits_1V: Tensor, sampling: Sampling) -> list[float]:
    """How much of the unit interval is mapped to each token."""
    ids_B, _ = choose(logits_1V.expand(1000, -1), GRID, sampling)
    return (torch.bincount(ids_B, minlength=logits_1V.shape[1]) / 1000).tolist()


def chosen(uniform: float, sampling: Sampling = Sampling()) -> int:
    return int(choose(QUARTERS, torch.tensor([uniform], dtype=torch.float64), sampling)[0])


def test_plain_sampling_walks_along_the_cumulative_distribution():
    assert [chosen(u) for u in (0.0, 0.49, 0.51, 0.74, 0.76, 0.89, 0.91, 1 - 2**-53)] == [0, 0, 1, 1, 2, 2, 3, 3]


def test_greedy_takes_the_most_likely_and_the_first_of_equals():
    logits_BV = torch.tensor([[0.0, 2.0, 1.0], [3.0, 3.0, 0.0]])
    ids_B, logprobs_B = choose(logits_BV, torch.tensor([0.99, 0.99]), GREEDY)
    assert ids_B.tolist() == [1, 0]
    assert logprobs_B[0].item() == pytest.approx(2.0 - np.log(np.e**0 + np.e**2 + np.e**1))


def test_top_k_keeps_the_k_most_likely():
    assert shares(QUARTERS, Sampling(top_k=2)) == pytest.approx([2 / 3, 1 / 3, 0, 0], abs=2e-3)


@pytest.mark.parametrize(
    ("top_p", "expected"),
    [
        (0.45, [1, 0, 0, 0]),
        (0.60, [2 / 3, 1 / 3, 0, 0]),  # the token that crosses 0.6 is kept
        (0.89, [5 / 9, 2.5 / 9, 1.5 / 9, 0]),
        (0.99, [0.50, 0.25, 0.15, 0.10]),
    ],
)
def test_top_p_keeps_tokens_until_their_sum_reaches_it(top_p, expected):
    assert shares(QUARTERS, Sampling(top_p=top_p)) == pytest.approx(expected, abs=2e-3)


def test_top_p_counts_within_top_k():
    # Of the two kept, 2/3 and 1/3, the first alone reaches 0.6.
    assert shares(QUARTERS, Sampling(top_k=2, top_p=0.6)) == [1, 0, 0, 0]


@pytest.mark.parametrize("sampling", [Sampling(top_p=0.9), Sampling(top_k=100), Sampling(top_p=0.999)])
def test_a_vocabulary_larger_than_the_first_guess_of_what_is_kept(sampling):
    logits_1V = torch.linspace(1, 0, 700)[None]  # hundreds of tokens are needed to reach 0.9
    p_V = logits_1V[0].softmax(-1).double()
    count = sampling.top_k or int((p_V.cumsum(0) < sampling.top_p).sum()) + 1
    expected_V = p_V[:count] / p_V[:count].sum()
    assert shares(logits_1V, sampling) == pytest.approx([*expected_V.tolist(), *[0] * (700 - count)], abs=1.1e-3)


@pytest.mark.parametrize("size", [256, 700, 1000])
def test_a_vocabulary_of_several_blocks_is_walked_along_in_order(size):
    logits_1V = 3 * torch.randn(1, size, generator=torch.Generator().manual_seed(size))
    p_V = logits_1V[0].double().softmax(0)
    uniform_B = torch.linspace(0, 1 - 1e-6, 5000, dtype=torch.float64)
    ids_B, logprobs_B = choose(logits_1V.expand(5000, -1), uniform_B, Sampling())
    assert ids_B.tolist() == sorted(ids_B.tolist())
    expected_B = torch.searchsorted(p_V.cumsum(0), uniform_B, right=True)
    assert (ids_B != expected_B).sum() <= 2  # float32 sums of blocks: a border may lie a rounding away
    torch.testing.assert_close(logprobs_B, p_V[ids_B].log().float(), atol=1e-5, rtol=0)


def test_the_most_likely_of_a_large_vocabulary_are_found_by_their_blocks():
    logits_BV = torch.randn(4, 33_001, generator=torch.Generator().manual_seed(0)).double()
    logits_BV[0, -3:] = 9.0 + torch.arange(3)  # in the short last block
    for row_V in logits_BV:
        top_K = row_V.topk(5).values.exp()
        mapped = shares(row_V[None], Sampling(top_k=5))
        assert mapped != [0] * len(mapped)
        for place, share in zip(row_V.topk(5).indices.tolist(), (top_K / top_K.sum()).tolist(), strict=True):
            assert mapped[place] == pytest.approx(share, abs=2e-3)


def test_temperature_sharpens():
    squares = [p**2 for p in (0.50, 0.25, 0.15, 0.10)]
    expected = [p / sum(squares) for p in squares]
    assert shares(QUARTERS, Sampling(temperature=0.5)) == pytest.approx(expected, abs=2e-3)


@pytest.mark.parametrize("sampling", [Sampling(temperature=0.5), Sampling(temperature=0.5, top_k=1)])
def test_the_log_probability_is_that_before_truncation(sampling):
    _, logprob_B = choose(QUARTERS, torch.tensor([0.0]), sampling)
    assert logprob_B.item() == pytest.approx(np.log(0.25 / (0.25 + 0.0625 + 0.0225 + 0.01)))


def test_frequencies_are_the_probabilities():
    keys_B = np.array([key64("frequencies", i) for i in range(20_000)], dtype=np.uint64)
    ids_B, _ = choose(QUARTERS.expand(20_000, -1), uniforms(keys_B, np.zeros(20_000, dtype=int)), Sampling())
    share_V = torch.bincount(ids_B) / 20_000
    assert share_V.tolist() == pytest.approx([0.50, 0.25, 0.15, 0.10], abs=4 * 0.5 / 20_000**0.5)


def test_a_token_without_probability_is_never_chosen():
    logits_1V = torch.tensor([[-torch.inf, 0.0, -torch.inf, 0.0, -torch.inf]])
    assert shares(logits_1V, Sampling()) == [0, 0.5, 0, 0.5, 0]


def test_uniforms_depend_on_key_and_position_alone():
    keys_B, positions_B = np.array([7, 8, 7], dtype=np.uint64), np.array([0, 1, 2])
    together = uniforms(keys_B, positions_B)
    alone = [uniforms(keys_B[i : i + 1], positions_B[i : i + 1]).item() for i in (2, 0, 1)]
    assert alone == [together[i].item() for i in (2, 0, 1)]
    assert len(set(together.tolist())) == 3


@given(st.integers(0, 2**64 - 1), st.integers(0, 2**20))
@settings(max_examples=200, deadline=None)
def test_uniforms_lie_in_the_half_open_unit_interval(key, position):
    value = uniforms(np.array([key], dtype=np.uint64), np.array([position])).item()
    assert 0.0 <= value < 1.0


@pytest.mark.parametrize("along", ["keys", "positions"])
def test_uniforms_are_uniform_and_not_correlated(along):
    count, counted = 50_000, np.arange(50_000)
    if along == "keys":
        keys_B = np.array([key64(0, "sample", "p", i) for i in counted], dtype=np.uint64)
        values = uniforms(keys_B, np.zeros(count, dtype=int)).numpy()
    else:
        values = uniforms(np.full(count, key64(0), dtype=np.uint64), counted).numpy()
    counts, _ = np.histogram(values, bins=20, range=(0, 1))
    chi_squared = ((counts - count / 20) ** 2 / (count / 20)).sum()
    assert chi_squared < 43.8  # the 0.1 % point at 19 degrees of freedom
    assert abs(np.corrcoef(values[:-1], values[1:])[0, 1]) < 4 / count**0.5


def test_the_recipes_limit_stands_in_where_none_is_set():
    assert Sampling().within(12).max_new_tokens == 12
    assert Sampling(max_new_tokens=5).within(12).max_new_tokens == 5


@pytest.mark.skipif(build.library() is None, reason=f"not compiled: {build.why_not()}")
@pytest.mark.parametrize("size", [1, 7, 256, 700, 5000])
@pytest.mark.parametrize(
    "sampling",
    [
        Sampling(), GREEDY, Sampling(temperature=0.6, top_p=0.95), Sampling(top_k=5), Sampling(top_k=40, top_p=0.5),
        Sampling(temperature=3.0, top_p=0.999),
    ],
    ids=str,
)  # fmt: skip
def test_the_compiled_form_chooses_what_the_definition_does(size, sampling, monkeypatch):
    generator = torch.Generator().manual_seed(size)
    logits_BV = (4 * torch.randn(400, size, generator=generator)).bfloat16()
    uniform_B = torch.rand(400, generator=generator, dtype=torch.float64)
    ids_B, logprobs_B = choose(logits_BV, uniform_B, sampling)
    monkeypatch.setattr(sampler, "runs", lambda *_: False)
    # In float64, so that words of equal logits are the only difference: the definition leaves their order open.
    true_B, logprobs_of_true_B = choose(logits_BV.double(), uniform_B, sampling)
    same_B = logits_BV.gather(1, ids_B[:, None]) == logits_BV.gather(1, true_B[:, None])
    assert same_B.float().mean() > 0.98
    torch.testing.assert_close(logprobs_B[same_B[:, 0]], logprobs_of_true_B[same_B[:, 0]].float(), atol=1e-5, rtol=1e-5)
    if not sampling.top_k and sampling.top_p == 1:
        assert (ids_B != true_B).sum() <= 2


@pytest.mark.skipif(build.library() is None, reason=f"not compiled: {build.why_not()}")
@pytest.mark.parametrize("sampling", [Sampling(), GREEDY, Sampling(top_p=0.9), Sampling(top_k=2)])
def test_what_is_not_a_number_has_no_log_probability_and_what_cannot_be_said_is_not_said(sampling):
    logits_BV = torch.tensor([[0.0, torch.nan, 1.0], [-torch.inf, 0.0, -torch.inf]]).bfloat16()
    for uniform in (0.0, 0.5, 1 - 2**-53):
        ids_B, logprobs_B = choose(logits_BV, torch.tensor([uniform, uniform], dtype=torch.float64), sampling)
        assert logprobs_B[0].isnan() and 0 <= ids_B[0] < 3
        assert ids_B[1] == 1 and logprobs_B[1].item() == pytest.approx(0.0, abs=1e-6)
