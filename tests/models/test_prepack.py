"""Prepacked weights give what plain ones give, to the bit, and leave the model as it was."""

import pytest
import torch
from torch import nn

from whit.models.attention import Packed
from whit.models.prepack import has_bfloat16_products, prepacked
from whit.testing.tiny import tiny_decoder

TOKENS = torch.arange(12)


def logits(decoder):
    with torch.no_grad():
        hidden = decoder(TOKENS, TOKENS, Packed([len(TOKENS)], torch.device("cpu")))
        return decoder.logits(hidden)


def swapped(decoder):
    return [
        name for name, module in decoder.named_modules() if isinstance(module, nn.Linear) and "forward" in vars(module)
    ]


def joined(decoder):
    return [name for name, module in decoder.named_modules() if getattr(module, "joined", None)]


@pytest.mark.skipif(not has_bfloat16_products(), reason="this processor has no bfloat16 products")
@pytest.mark.parametrize("is_tied", [True, False])
def test_the_results_are_the_same_to_the_bit(is_tied):
    decoder = tiny_decoder(seed=1, tie_word_embeddings=is_tied, attention_bias=True).bfloat16()
    plain = logits(decoder)
    with torch.no_grad(), prepacked(decoder, rows=4):
        assert len(swapped(decoder)) == 2 * decoder.config.shape.num_layers and decoder.head_product
        assert len(joined(decoder)) == 2 * decoder.config.shape.num_layers
        assert logits(decoder).equal(plain)
        width, size = decoder.config.shape.width, decoder.config.shape.vocab_size
        assert decoder.head_product(torch.zeros(0, width).bfloat16()).shape == (0, size)
    assert not swapped(decoder) and not joined(decoder) and decoder.head_product is None


@pytest.mark.skipif(not has_bfloat16_products(), reason="this processor has no bfloat16 products")
def test_an_error_inside_leaves_the_model_as_it_was():
    decoder = tiny_decoder(seed=1).bfloat16()
    with torch.no_grad(), pytest.raises(KeyError), prepacked(decoder, rows=4):
        raise KeyError
    assert not swapped(decoder) and decoder.head_product is None


def test_other_dtypes_and_gradients_use_the_plain_weights():
    decoder = tiny_decoder(seed=1)
    with torch.no_grad(), prepacked(decoder, rows=4):
        assert not swapped(decoder)
    with prepacked(decoder.bfloat16(), rows=4):
        assert not swapped(decoder)
