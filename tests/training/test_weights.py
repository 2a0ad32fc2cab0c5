"""Each reduction as the weight of a supervised token, on two documents of 2 and 8 of them."""

import pytest
import torch

from whit.data.batch import Document
from whit.objectives._types import Term
from whit.objectives.cross_entropy import cross_entropy
from whit.training.weights import spread, token_weights


def document(supervised: int, weight: float | None = None) -> Document:
    weights = {} if weight is None else {"cross_entropy": weight}
    return Document(ids=range(supervised + 1), spans=((1, supervised + 1),), weights=weights)


def term(reduction: str, **settings: int) -> Term:
    return Term(cross_entropy, reduction=reduction, **settings)


SHORT, LONG = document(2), document(8)


def test_token_weighs_every_token_alike():
    assert token_weights([SHORT, LONG], term("token")) == pytest.approx([1 / 10, 1 / 10])


def test_sequence_weighs_every_document_alike():
    assert token_weights([SHORT, LONG], term("sequence")) == pytest.approx([1 / (2 * 2), 1 / (2 * 8)])


def test_constant_divides_by_documents_times_a_fixed_length():
    assert token_weights([SHORT, LONG], term("constant", constant_length=10)) == pytest.approx([1 / 20, 1 / 20])


@pytest.mark.parametrize(("reduction", "loss"), [("token", 0.2), ("sequence", 0.5), ("constant", 0.1)])
def test_a_loss_of_one_on_the_short_document_and_none_on_the_long(reduction, loss):
    short, _ = token_weights([SHORT, LONG], term(reduction, constant_length=10))
    assert 2 * short == pytest.approx(loss)


@pytest.mark.parametrize("reduction", ["token", "sequence", "constant"])
def test_an_ignored_document_counts_in_no_denominator(reduction):
    alone = token_weights([LONG], term(reduction, constant_length=10))
    assert token_weights([document(2, weight=0.0), LONG], term(reduction, constant_length=10)) == pytest.approx(
        [0, *alone]
    )


@pytest.mark.parametrize("reduction", ["token", "sequence", "constant"])
def test_a_document_without_supervised_tokens_counts_in_no_denominator(reduction):
    alone = token_weights([LONG], term(reduction, constant_length=10))
    assert token_weights([document(0), LONG], term(reduction, constant_length=10))[1:] == pytest.approx(alone)


def test_a_term_that_ignores_all_documents_has_no_weights():
    assert token_weights([document(2, weight=0.0)], term("token")) == [0.0]


def test_importance_scales_a_document_and_not_its_denominator():
    assert token_weights([document(2, weight=3.0), LONG], term("token")) == pytest.approx([0.3, 0.1])


def test_the_weights_of_another_term_do_not_count():
    other = Document(ids=(1, 2), spans=((1, 2),), weights={"forward_kl": 0.0})
    assert token_weights([other], term("token")) == [1.0]


def test_spread_gives_each_token_the_weight_of_its_document():
    assert spread([0.25, 0.5], torch.tensor([0, 0, 1])).tolist() == [0.25, 0.25, 0.5]
