"""Documents side by side in a row: every supervised token with its label, its source and what was recorded of it."""

from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from whit.data.batch import Document, collate
from whit.testing.tiny import tiny_documents

CPU = torch.device("cpu")
FIRST = Document(ids=(10, 11, 12, 13), spans=((2, 4),), recorded={"advantages_T": (0.5, 1.5)}, facts={"group_N": 7.0})
SECOND = Document(
    ids=(20, 21, 22), spans=((1, 2), (2, 3)), recorded={"advantages_T": (2.5, 3.5)}, facts={"group_N": 8.0}
)


def test_two_documents_by_hand():
    batch = collate([FIRST, SECOND], CPU)
    assert batch.tokens_L.tolist() == [10, 11, 12, 13, 20, 21, 22]
    assert batch.positions_L.tolist() == [0, 1, 2, 3, 0, 1, 2]
    assert batch.lengths == (4, 3)
    assert batch.labels_T.tolist() == [12, 13, 21, 22]
    assert batch.source_T.tolist() == [1, 2, 4, 5]  # a token is predicted from the one before it
    assert batch.sequence_T.tolist() == [0, 0, 1, 1]
    assert batch.offset_T.tolist() == [0, 1, 0, 1]
    assert batch.recorded["advantages_T"].tolist() == [0.5, 1.5, 2.5, 3.5]
    assert batch.facts["group_N"].tolist() == [7.0, 8.0]


def test_a_document_without_supervised_tokens_stands_in_the_row_and_has_no_labels():
    batch = collate([Document(ids=(1, 2), spans=()), Document(ids=(3, 4), spans=((1, 2),))], CPU)
    assert batch.tokens_L.tolist() == [1, 2, 3, 4]
    assert (batch.labels_T.tolist(), batch.sequence_T.tolist()) == ([4], [1])


def test_a_batch_without_any_supervised_token_is_empty_and_whole():
    batch = collate([Document(ids=(1, 2), spans=())], CPU)
    assert len(batch.labels_T) == len(batch.source_T) == 0
    assert batch.source_T.dtype == torch.long


def test_the_first_token_of_a_document_has_no_prediction():
    with pytest.raises(AssertionError):
        collate([Document(ids=(1, 2), spans=((0, 2),))], CPU)


@given(st.lists(st.tuples(st.integers(1, 9), st.integers(0, 9)), min_size=1, max_size=8))
@settings(deadline=None)
def test_every_supervised_token_is_a_label_once_and_in_its_place(sizes):
    documents = tiny_documents(*sizes)
    batch = collate(documents, CPU)
    expected = [token for d in documents for start, end in d.spans for token in d.ids[start:end]]
    assert batch.labels_T.tolist() == expected
    assert batch.tokens_L[batch.source_T + 1].tolist() == expected
    assert torch.bincount(batch.sequence_T, minlength=len(sizes)).tolist() == [d.num_supervised for d in documents]
    assert (batch.positions_L[batch.source_T] >= 0).all()


def test_recorded_tensors_and_sequences_stand_one_after_another():
    tensor = replace(SECOND, recorded={"advantages_T": torch.tensor([2.5, 3.5])})
    for documents in ([FIRST, tensor], [tensor, FIRST], [tensor, tensor]):
        values = [float(v) for d in documents for v in d.recorded["advantages_T"]]
        assert collate(documents, CPU).recorded["advantages_T"].tolist() == values


def test_lists_of_different_length_are_filled_with_what_stands_for_no_token():
    short = {
        "kept_ids_TK": torch.tensor([[7], [8]], dtype=torch.int32),
        "kept_logprobs_TK": torch.tensor([[-0.5], [-0.25]]),
        "kept_shares_TK": torch.tensor([[1.0], [1.0]]),
    }
    long = {
        "kept_ids_TK": torch.tensor([[1, 2], [3, 4]], dtype=torch.int32),
        "kept_logprobs_TK": torch.tensor([[-1.0, -2.0], [-3.0, -4.0]]),
        "kept_shares_TK": torch.tensor([[0.75, 0.25], [0.5, 0.5]]),
    }
    recorded = collate([replace(FIRST, recorded=short), replace(SECOND, recorded=long)], CPU).recorded
    inf = float("inf")
    assert recorded["kept_ids_TK"].tolist() == [[7, 0], [8, 0], [1, 2], [3, 4]]
    assert recorded["kept_ids_TK"].dtype == torch.int64  # gather wants it
    assert recorded["kept_logprobs_TK"].tolist() == [[-0.5, -inf], [-0.25, -inf], [-1, -2], [-3, -4]]
    assert recorded["kept_shares_TK"].tolist() == [[1, 0], [1, 0], [0.75, 0.25], [0.5, 0.5]]


@pytest.mark.parametrize("nothing", [[], torch.zeros(0), torch.zeros(0, 0)])
def test_a_document_without_supervised_tokens_adds_no_list(nothing):
    empty = Document(ids=(1, 2), spans=(), recorded={"kept_shares_TK": nothing})
    lists = replace(FIRST, recorded={"kept_shares_TK": torch.tensor([[0.75, 0.25], [0.5, 0.5]])}, facts={})
    for documents in ([empty, lists], [lists, empty]):
        assert collate(documents, CPU).recorded["kept_shares_TK"].tolist() == [[0.75, 0.25], [0.5, 0.5]]


def test_numbers_beside_lists_are_refused():
    numbers = replace(FIRST, recorded={"kept_shares_TK": torch.ones(2)})
    lists = replace(SECOND, recorded={"kept_shares_TK": torch.ones(2, 3)})
    with pytest.raises(AssertionError, match="kept_shares_TK"):
        collate([numbers, lists], CPU)
