"""Operations by shape equal what torch counts in the real decoder, forward and backward."""

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from whit.core.flops import Shape, causal_pairs, decode_pairs, forward_flops, train_flops
from whit.data.batch import Document, collate
from whit.models.attention import Packed
from whit.testing.tiny import tiny_decoder

LENGTHS = {"one": (24,), "packed": (7, 16, 9)}


def counted(decoder, lengths, *, backward):
    """What torch counts, and the attention of masked pairs that it counts and we do not."""
    documents = [Document(ids=list(range(n)), spans=((n // 2, n),)) for n in lengths]
    batch = collate(documents, torch.device("cpu"))
    with FlopCounterMode(display=False) as counter:
        hidden_LD = decoder(batch.tokens_L, batch.positions_L, Packed(list(lengths), torch.device("cpu")))
        logits_TV = decoder.logits(hidden_LD[batch.source_T])
        if backward:
            logits_TV.float().logsumexp(-1).sum().backward()
    counts = counter.get_flop_counts()["Global"]
    linear = sum(n for op, n in counts.items() if "attention" not in str(op) and "bmm" not in str(op))
    return linear, batch


@pytest.mark.parametrize("is_tied", [True, False])
@pytest.mark.parametrize("lengths", LENGTHS.values(), ids=LENGTHS)
def test_forward_and_backward_equal_what_torch_counts(lengths, is_tied):
    decoder = tiny_decoder(0, torch.float32, tie_word_embeddings=is_tied)
    shape, num_scored = decoder.config.shape, sum(n - n // 2 for n in lengths)
    for backward, ours in ((False, forward_flops), (True, train_flops)):
        linear, batch = counted(decoder, lengths, backward=backward)
        assert len(batch.source_T) == num_scored
        assert linear == ours(shape, sum(lengths), num_scored, 0)


def test_attention_is_the_causal_half_of_what_a_full_matrix_costs():
    shape = Shape(vocab_size=1, width=1, num_layers=3, num_heads=4, num_kv_heads=2, head_size=8, intermediate=1)
    attention = forward_flops(shape, 0, 0, causal_pairs(100))
    full = 3 * 4 * (2 * 100 * 100 * 8) * 2  # layers x heads x (queries x keys x size, twice: scores and values)
    assert attention == full / 2 * (101 / 100)


def test_packed_documents_do_not_attend_to_each_other():
    assert causal_pairs(3, 5) == 6 + 15 < causal_pairs(8)


def test_decoding_with_a_cache_attends_to_what_one_pass_attends_to():
    assert decode_pairs(10, 5) == causal_pairs(15) - causal_pairs(10)


@pytest.mark.parametrize("is_tied", [True, False])
def test_parameters_are_those_of_the_decoder_without_its_norms(is_tied):
    decoder = tiny_decoder(0, torch.float32, tie_word_embeddings=is_tied)
    matrices = sum(p.numel() for p in decoder.parameters() if p.dim() == 2)
    assert decoder.config.shape.parameters == matrices


def test_lora_needs_no_weight_gradients_of_the_body():
    shape = Shape(vocab_size=100, width=64, num_layers=2, num_heads=4, num_kv_heads=2, head_size=16, intermediate=128)
    full, lora = train_flops(shape, 50, 10, 0), train_flops(shape, 50, 10, 0, lora_rank=2)
    pairs = causal_pairs(50)  # attention has no weights: its backward pass costs the same
    assert train_flops(shape, 50, 10, pairs, lora_rank=2) - lora == train_flops(shape, 50, 10, pairs) - full
    adapters = sum(
        2 * (rows + columns)
        for rows, columns in ((64, 64), (64, 32), (64, 32), (64, 64), (64, 128), (64, 128), (128, 64))
    )
    assert lora == full * 2 / 3 + 6 * 50 * 2 * adapters
