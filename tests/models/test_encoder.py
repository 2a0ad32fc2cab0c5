"""A sentence encoder from its files: pooled and normalised as transformers' own states say."""

import json

import pytest
import torch
from transformers import AutoModel, BertConfig, BertModel, BertTokenizerFast

from whit.core.errors import ModelError, NoSuchModelError
from whit.models.encoder import Encoder
from whit.models.load import resolve_encoder

TEXTS = ["the cat sat", "a dog", "the cat sat on the mat and the dog ran"]


@pytest.fixture
def directory(tmp_path):
    words = [
        "[PAD]",
        "[UNK]",
        "[CLS]",
        "[SEP]",
        "[MASK]",
        *["the", "cat", "sat", "a", "dog", "on", "mat", "and", "ran"],
    ]
    (tmp_path / "vocab.txt").write_text("\n".join(words))
    BertTokenizerFast(str(tmp_path / "vocab.txt"), model_max_length=32).save_pretrained(tmp_path)
    torch.manual_seed(0)
    sizes = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 24}
    BertModel(BertConfig(vocab_size=len(words), max_position_embeddings=32, **sizes)).save_pretrained(tmp_path)
    return tmp_path


def pooling(directory, **modes):
    (directory / "1_Pooling").mkdir()
    (directory / "1_Pooling" / "config.json").write_text(json.dumps({"word_embedding_dimension": 16, **modes}))


@torch.no_grad()
def alone(directory, text):
    """The states of one text without filling."""
    encoder = Encoder(directory)
    model = AutoModel.from_pretrained(directory).eval()
    return model(**encoder.tokenizer(text, return_tensors="pt")).last_hidden_state[0]


def test_the_mean_over_a_text_s_own_tokens_of_length_1(directory):
    found = Encoder(directory)(TEXTS)
    for text, vector in zip(TEXTS, found, strict=True):
        mean = alone(directory, text).mean(0)
        torch.testing.assert_close(vector, mean / mean.norm(), rtol=1e-4, atol=1e-5)


def test_the_first_token_where_the_directory_says_so(directory):
    pooling(directory, pooling_mode_cls_token=True, pooling_mode_mean_tokens=False)
    first = alone(directory, TEXTS[0])[0]
    torch.testing.assert_close(Encoder(directory)(TEXTS)[0], first / first.norm(), rtol=1e-4, atol=1e-5)


def test_another_pooling_is_refused(directory):
    pooling(directory, pooling_mode_max_tokens=True)
    with pytest.raises(ModelError, match="pooling_mode_max_tokens"):
        Encoder(directory)


def test_what_is_no_encoder_is_named(tmp_path):
    with pytest.raises(ModelError, match="no sentence encoder"):
        Encoder(tmp_path)
    with pytest.raises(NoSuchModelError, match="no encoder 'mpnet'"):
        resolve_encoder("mpnet")
