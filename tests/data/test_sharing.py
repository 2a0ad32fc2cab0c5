"""A prompt that several documents begin with stands once in a row, and is counted once."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from whit.core.flops import causal_pairs
from whit.data.batch import MIN_SHARED, Document, collate
from whit.data.sharing import micro_batches, work
from whit.models.attention import Packed
from whit.testing.tiny import tiny_decoder
from whit.training.signals import score

CPU = torch.device("cpu")
PROMPT = tuple(range(100, 100 + MIN_SHARED))
OTHER = tuple(range(200, 200 + MIN_SHARED))


def document(prompt: tuple[int, ...], *completion: int) -> Document:
    return Document(ids=(*prompt, *completion), spans=((len(prompt), len(prompt) + len(completion)),))


FIRST, SECOND = document(PROMPT, 1, 2), document(PROMPT, 3, 4, 5)


def test_two_completions_of_one_prompt_by_hand():
    batch = collate([FIRST, SECOND], CPU)
    size = MIN_SHARED
    assert batch.tokens_L.tolist() == [*PROMPT, 1, 2, 3, 4, 5]
    assert batch.positions_L.tolist() == [*range(size + 2), size, size + 1, size + 2]
    assert (batch.lengths, batch.prefixes) == ((size + 2, 3), ((0, 0), (0, size)))
    assert batch.labels_T.tolist() == [1, 2, 3, 4, 5]
    # The prompt's last token predicts the first of both completions.
    assert batch.source_T.tolist() == [size - 1, size, size - 1, size + 2, size + 3]


@pytest.mark.parametrize("documents", [
    [document(PROMPT, 1), document(OTHER, 1)],
    [document(PROMPT[1:], 1), document(PROMPT[1:], 2)],  # too short to be worth it
    [Document(ids=PROMPT, spans=()), Document(ids=PROMPT, spans=())],
    [document(PROMPT, 1), document((*PROMPT, 1), 2)],  # a longer prompt is another one
])  # fmt: skip
def test_other_documents_stand_whole(documents):
    batch = collate(documents, CPU)
    assert batch.lengths == tuple(len(d.ids) for d in documents)
    assert set(batch.prefixes) == {(0, 0)}
    assert work(documents)[0] == sum(batch.lengths)


def test_the_work_counts_the_prompt_once():
    assert work([FIRST, SECOND]) == (
        MIN_SHARED + 5,
        5,
        causal_pairs(MIN_SHARED + 2, MIN_SHARED + 3) - causal_pairs(MIN_SHARED),
    )
    assert work([FIRST]) == (MIN_SHARED + 2, 2, causal_pairs(MIN_SHARED + 2))


def test_documents_of_one_prompt_go_to_one_micro_batch_as_far_as_they_fit():
    group = [document(PROMPT, *range(4)) for _ in range(3)]
    documents = [group[0], document(OTHER, 1), group[1], group[2]]
    assert sorted(map(sorted, micro_batches(documents, MIN_SHARED + 12))) == [[0, 2, 3], [1]]
    assert sorted(map(sorted, micro_batches(documents, MIN_SHARED + 8))) == [[0, 2], [1], [3]]


@given(st.lists(st.tuples(st.integers(0, 2), st.integers(1, 6)), min_size=1, max_size=12), st.integers(1, 80))
@settings(deadline=None)
def test_every_document_is_in_one_micro_batch_that_holds_at_most_its_tokens(chosen, max_tokens):
    prompts = [PROMPT, OTHER, (7, 8)]
    documents = [document(prompts[which], *range(count)) for which, count in chosen]
    parts = micro_batches(documents, max_tokens)
    assert sorted(i for part in parts for i in part) == list(range(len(documents)))
    longest = max(len(d.ids) for d in documents)
    for part in parts:
        assert len(collate([documents[i] for i in part], CPU).tokens_L) <= max(max_tokens, longest)


@given(st.lists(st.tuples(st.integers(0, 2), st.integers(1, 6)), min_size=1, max_size=8))
@settings(deadline=None, max_examples=25)
def test_documents_together_score_as_each_alone(chosen):
    decoder = tiny_decoder(seed=1).double()
    generator = torch.Generator().manual_seed(len(chosen))
    prompts = [tuple(torch.randint(0, 60, (size,), generator=generator).tolist()) for size in (16, 21, 3)]
    documents = [document(prompts[which], *range(count)) for which, count in chosen]
    together, _ = score(decoder, collate(documents, CPU, multiple=16))
    alone = torch.cat([score(decoder, collate([d], CPU))[0] for d in documents])
    assert torch.allclose(together, alone, atol=1e-6)  # norms are computed in float32, as published


@pytest.mark.parametrize("window", [0, 5])
def test_attention_goes_on_from_a_prefix(window):
    q, k, v = (torch.randn(30, 2, 8, generator=torch.Generator().manual_seed(i)) for i in range(3))
    # Tokens 3 to 22 are a prompt; 23 to 25 complete it, and 26 to 29 complete it otherwise.
    shared = Packed([3, 23, 4], CPU, prefixes=[(0, 0), (0, 0), (3, 20)])(0, q, k, v, 0.3, window)
    own = torch.cat([torch.arange(3, 23), torch.arange(26, 30)])
    assert torch.allclose(shared[:3], Packed([3], CPU)(0, q[:3], k[:3], v[:3], 0.3, window), atol=1e-6)
    assert torch.allclose(shared[3:26], Packed([23], CPU)(0, q[3:26], k[3:26], v[3:26], 0.3, window), atol=1e-6)
    assert torch.allclose(shared[26:], Packed([24], CPU)(0, q[own], k[own], v[own], 0.3, window)[20:], atol=1e-6)
