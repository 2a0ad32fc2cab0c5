"""Sampling, tokens a second, against `transformers.generate` and llama.cpp: the same prompts, as many new tokens.

    python bench/decode.py [--model smollm2-135m] [--rows 32] [--prompt 64] [--tokens 128] [--rounds 5] [--threads 2]

Weights of 16 bits everywhere: bfloat16, and a GGUF file in float16 that `whit export` writes. Nothing stops early on any
side; llama.cpp takes the most likely token. `decode_per_second` leaves out the time to the first token, which goes into the
prompts; `tokens_per_second` is of the whole call. `floor_share` is the least time in which the weights and the cache can be
read, or the operations done, over the time taken to decode; `byte_share` is the same of the reading alone. The guard is the
mean log-probability of our tokens by transformers, less the engine's own: what the engine says of its tokens is what the
model says.
"""

import argparse
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

from _rounds import Figures, compare, peak_bytes, product_rate, read_rate

if TYPE_CHECKING:
    from whit.core.flops import Shape

WARM_TOKENS = 4


def whit(arguments: argparse.Namespace) -> Figures:
    from whit.generation.engine import Engine
    from whit.generation.sampler import Sampling
    from whit.models.load import load_policy, resolve_model

    path = resolve_model(arguments.model)
    policy = load_policy(path, dtype="bfloat16")
    engine = Engine(policy.decoder, frozenset(), max_rows=arguments.rows)
    prompts = prompts_of(arguments, policy.decoder.config.shape.vocab_size)
    engine.generate(prompts, Sampling(max_new_tokens=WARM_TOKENS))
    clock = Clock(arguments.rows)
    groups = engine.generate(prompts, Sampling(max_new_tokens=arguments.tokens), notify=clock)
    peak = peak_bytes()
    said = [group[0] for group in groups[:4]]
    own = sum(sum(c.logprobs) for c in said) / sum(len(c.ids) for c in said)
    by_peer = mean_logprob(path, [(prompt, list(c.ids)) for prompt, c in zip(prompts, said, strict=False)])
    reading, computing = floor_seconds(policy.decoder.config.shape, arguments)
    decoding = arguments.rows / clock.decode_per_second
    return {
        **clock.figures(),
        "floor_share": max(reading, computing) / decoding,
        "byte_share": reading / decoding,
        "logprob_gap": own - by_peer,
        "peak_bytes": peak,
    }


def transformers(arguments: argparse.Namespace) -> Figures:
    import torch
    from transformers import AutoModelForCausalLM

    from whit.models.load import resolve_model

    peer = AutoModelForCausalLM.from_pretrained(resolve_model(arguments.model), dtype=torch.bfloat16).eval()
    prompts = torch.tensor(prompts_of(arguments, peer.config.vocab_size))

    def write(count: int) -> Clock:
        clock = Clock(arguments.rows)

        def passed(ids: torch.Tensor, *_: object, **__: object) -> torch.Tensor:
            clock(arguments.rows)
            return torch.zeros(len(ids), dtype=torch.bool)

        peer.generate(
            prompts, attention_mask=torch.ones_like(prompts), do_sample=True, top_k=0, top_p=1.0, temperature=1.0,
            min_new_tokens=count, max_new_tokens=count, repetition_penalty=1.0, pad_token_id=0, stopping_criteria=[passed],
        )  # fmt: skip
        return clock

    write(WARM_TOKENS)
    return {**write(arguments.tokens).figures(), "floor_share": 0.0, "byte_share": 0.0, "logprob_gap": 0.0}


def llama_cpp(arguments: argparse.Namespace) -> Figures:
    import llama_cpp as peer
    import numpy as np

    from whit.core.types import Artifact
    from whit.export.gguf import gguf
    from whit.models.load import resolve_model

    rows, length = arguments.rows, arguments.prompt
    with tempfile.TemporaryDirectory() as folder:
        gguf(Artifact(resolve_model(arguments.model), "bench"), Path(folder, "model.gguf"))
        model = peer.llama_model_load_from_file(
            str(Path(folder, "model.gguf")).encode(), peer.llama_model_default_params()
        )
    settings = peer.llama_context_default_params()
    settings.n_ctx = rows * (length + arguments.tokens + WARM_TOKENS + 8)
    settings.n_batch = settings.n_ubatch = max(512, rows)
    settings.n_seq_max, settings.n_threads, settings.n_threads_batch = rows, arguments.threads, arguments.threads
    context = peer.llama_init_from_model(model, settings)
    size = peer.llama_vocab_n_tokens(peer.llama_model_get_vocab(model))
    batch = peer.llama_batch_init(settings.n_batch, 0, 1)

    def fed(tokens: list[tuple[int, int, int, bool]]) -> None:
        """Tokens as (id, position, row, whether its logits are wanted)."""
        batch.n_tokens = len(tokens)
        for i, (token, position, row, wanted) in enumerate(tokens):
            batch.token[i], batch.pos[i], batch.n_seq_id[i], batch.logits[i] = token, position, 1, wanted
            batch.seq_id[i][0] = row
        assert peer.llama_decode(context, batch) == 0

    def best(place: int) -> int:
        return int(np.ctypeslib.as_array(peer.llama_get_logits_ith(context, place), (size,)).argmax())

    def write(position: int, last: list[int], count: int) -> list[int]:
        for step in range(count):
            fed([(last[row], position + step, row, True) for row in range(rows)])
            last = [best(row) for row in range(rows)]
        return last

    last = []
    for row, prompt in enumerate(prompts_of(arguments, size)):
        fed([(token, place, row, place == length - 1) for place, token in enumerate(prompt)])
        last.append(best(length - 1))
    last = write(length, last, WARM_TOKENS)
    started = time.perf_counter()
    write(length + WARM_TOKENS, last, arguments.tokens)
    rate = rows * arguments.tokens / (time.perf_counter() - started)
    return {
        "tokens_per_second": 0.0,
        "decode_per_second": rate,
        "floor_share": 0.0,
        "byte_share": 0.0,
        "logprob_gap": 0.0,
    }


class Clock:
    """Told of new tokens as they come; the first of each row ends the time that prompts take."""

    def __init__(self, rows: int):
        self.rows, self.count, self.started, self.first, self.last = rows, 0, time.perf_counter(), 0.0, 0.0

    def __call__(self, new: int) -> None:
        self.count, self.last = self.count + new, time.perf_counter()
        if self.count <= self.rows:
            self.first = self.last

    @property
    def decode_per_second(self) -> float:
        return (self.count - self.rows) / (self.last - self.first)

    def figures(self) -> Figures:
        whole = self.count / (self.last - self.started)
        return {"tokens_per_second": whole, "decode_per_second": self.decode_per_second}


def floor_seconds(shape: "Shape", arguments: argparse.Namespace) -> tuple[float, float]:
    """Of one token more of every row: reading weights and cache once, and the operations."""
    weights = 2 * shape.parameters
    cached = 4 * shape.num_layers * shape.num_kv_heads * shape.head_size * arguments.rows
    read = weights + cached * (arguments.prompt + arguments.tokens / 2)
    operations = 2 * (shape.body_parameters + shape.head_parameters) * arguments.rows
    return read / read_rate(), operations / product_rate()


def prompts_of(arguments: argparse.Namespace, vocab_size: int) -> list[list[int]]:
    """Prompts of one length, so that padding plays no part."""
    import torch

    generator = torch.Generator().manual_seed(0)
    drawn: list[list[int]] = torch.randint(
        100, min(vocab_size, 20_000), (arguments.rows, arguments.prompt), generator=generator
    ).tolist()
    return drawn


def mean_logprob(path: object, written: list[tuple[list[int], list[int]]]) -> float:
    """Of the tokens written after their prompts, by transformers in float32, in nats."""
    import torch
    from transformers import AutoModelForCausalLM

    peer = AutoModelForCausalLM.from_pretrained(path, dtype=torch.float32).eval()
    total, count = 0.0, 0
    for prompt, own in written:
        with torch.no_grad():
            logp = peer(torch.tensor([prompt + own])).logits[0].log_softmax(-1)
        total += float(sum(logp[len(prompt) + i - 1, token] for i, token in enumerate(own)))
        count += len(own)
    return total / count


def options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--model", default="smollm2-135m")
    parser.add_argument("--rows", type=int, default=32)
    parser.add_argument("--prompt", type=int, default=64)
    parser.add_argument("--tokens", type=int, default=128)


if __name__ == "__main__":
    compare("decode", {"whit": whit, "transformers": transformers, "llama_cpp": llama_cpp}, figure="decode_per_second",
            guard=("logprob_gap",), options=options, variant="rows", peers=("llama_cpp_python",),
            aims={"transformers": (5.0, 0.0), "llama_cpp": (0.8, 0.0), "llama_cpp-16": (1.0, 0.0)})  # fmt: skip
