"""Sampling, tokens a second, against `transformers.generate`: the same prompts, as many new tokens, bfloat16.

    python bench/decode.py [--model smollm2-135m] [--rows 32] [--prompt 64] [--tokens 64] [--rounds 5] [--threads 2]

Nothing stops early on either side. The guard is the mean log-probability of our tokens by transformers, less the engine's
own: what the engine says of its tokens is what the model says.
"""

import argparse
import time

from _rounds import Figures, compare, peak_bytes

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
    started = time.perf_counter()
    groups = engine.generate(prompts, Sampling(max_new_tokens=arguments.tokens))
    seconds = time.perf_counter() - started
    peak = peak_bytes()
    said = [group[0] for group in groups[:4]]
    own = sum(sum(c.logprobs) for c in said) / sum(len(c.ids) for c in said)
    by_peer = mean_logprob(path, [(prompt, list(c.ids)) for prompt, c in zip(prompts, said, strict=False)])
    return {
        "tokens_per_second": arguments.rows * arguments.tokens / seconds,
        "logprob_gap": own - by_peer,
        "peak_bytes": peak,
    }


def transformers(arguments: argparse.Namespace) -> Figures:
    import torch
    from transformers import AutoModelForCausalLM

    from whit.models.load import resolve_model

    peer = AutoModelForCausalLM.from_pretrained(resolve_model(arguments.model), dtype=torch.bfloat16).eval()
    prompts = torch.tensor(prompts_of(arguments, peer.config.vocab_size))

    def write(count: int) -> None:
        peer.generate(
            prompts, attention_mask=torch.ones_like(prompts), do_sample=True, top_k=0, top_p=1.0, temperature=1.0,
            min_new_tokens=count, max_new_tokens=count, repetition_penalty=1.0, pad_token_id=0,
        )  # fmt: skip

    write(WARM_TOKENS)
    started = time.perf_counter()
    write(arguments.tokens)
    rate = arguments.rows * arguments.tokens / (time.perf_counter() - started)
    return {"tokens_per_second": rate, "logprob_gap": 0.0}


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
    parser.add_argument("--tokens", type=int, default=64)


if __name__ == "__main__":
    compare("decode", {"whit": whit, "transformers": transformers}, figure="tokens_per_second",
            guard=("logprob_gap",), options=options)  # fmt: skip
