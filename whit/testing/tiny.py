"""A two-layer decoder with random weights and a byte tokenizer: everything that a model has, in milliseconds."""

from functools import cache
from pathlib import Path
from typing import Any

import torch

from whit.data.batch import Document
from whit.data.tokenizer import train_tokenizer
from whit.models.config import parse_config
from whit.models.decoder import Decoder
from whit.models.load import Policy

SENTENCES = ("Ann has 3 apples. Ben has twice as many.", "How many apples does Ben have?", "Ben: 3 * 2 = 6.\n#### 6")


def tiny_decoder(
    seed: int = 0, dtype: torch.dtype = torch.float64, *, vocab_size: int = 64, max_length: int = 128, **entries: Any
) -> Decoder:
    """Weights large enough that the next token is far from uniform. entries: of config.json, beside the sizes."""
    raw = {
        "architectures": ["LlamaForCausalLM"], "model_type": "llama", "vocab_size": vocab_size, "hidden_size": 16,
        "intermediate_size": 24, "num_hidden_layers": 2, "num_attention_heads": 2, "num_key_value_heads": 1,
        "max_position_embeddings": max_length, "tie_word_embeddings": True, "hidden_act": "silu", **entries,
    }  # fmt: skip
    config = parse_config(raw)
    assert config is not None
    decoder = Decoder(config)
    decoder.initialise(torch.Generator().manual_seed(seed), std=0.3)
    return decoder.to(dtype)


@cache
def tiny_tokenizer() -> Any:
    """Byte-level, at most 300 ids, with the chat template of `whit.data.tokenizer`."""
    return train_tokenizer(SENTENCES, vocab_size=300, max_length=256)


def tiny_model(directory: Path, seed: int = 0, **entries: Any) -> Path:
    """A model directory that every stage can start from: `tiny_decoder` for the vocabulary of `tiny_tokenizer`."""
    tokenizer = tiny_tokenizer()
    decoder = tiny_decoder(seed, torch.float32, vocab_size=len(tokenizer), max_length=256, **entries)
    Policy(decoder, tokenizer, directory).save(directory)
    return directory


def tiny_documents(*sizes: tuple[int, int], seed: int = 0, vocab_size: int = 64) -> list[Document]:
    """Random documents, each of so many prompt tokens and so many supervised ones."""
    generator = torch.Generator().manual_seed(seed)
    documents = []
    for prompt, completion in sizes:
        ids = torch.randint(0, vocab_size, (prompt + completion,), generator=generator).tolist()
        documents.append(Document(ids=ids, spans=((prompt, prompt + completion),)))
    return documents
