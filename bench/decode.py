"""Sampling speed against `transformers.generate` in one run: `python bench/decode.py MODEL [--rows 32] [--tokens 64]`.

Both sample the same prompts with the same number of new tokens, warmed up, interleaved, with the median of the rounds.
"""

import argparse
import statistics
import time

import torch
from transformers import AutoModelForCausalLM

from whit.core.types import Message
from whit.data.render import Renderer
from whit.generation.engine import Engine
from whit.generation.sampler import Sampling
from whit.models.load import load_policy, resolve_model
from whit.tasks.word_problems import word_problems


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", nargs="?", default="micro-base")
    parser.add_argument("--rows", type=int, default=32)
    parser.add_argument("--tokens", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)

    path = resolve_model(arguments.model)
    policy = load_policy(path, dtype="bfloat16")
    renderer = Renderer(policy.tokenizer, max_length=policy.decoder.config.max_length, more_stops=policy.stop_ids)
    examples = list(word_problems("test", size=arguments.rows))
    prompts = [renderer.prompt([Message("user", e.prompt)]) for e in examples]
    engine = Engine(policy.decoder, frozenset(), max_rows=arguments.rows)  # no stop: both write every token
    peer = AutoModelForCausalLM.from_pretrained(path, dtype=torch.bfloat16).eval()
    longest = max(map(len, prompts))
    pad = policy.tokenizer.pad_token_id or 0
    padded = torch.tensor([[pad] * (longest - len(p)) + p for p in prompts])
    mask = torch.tensor([[0] * (longest - len(p)) + [1] * len(p) for p in prompts])

    def ours() -> None:
        engine.generate(prompts, Sampling(max_new_tokens=arguments.tokens))

    def theirs() -> None:
        count = arguments.tokens
        peer.generate(padded, attention_mask=mask, do_sample=True, top_k=0, min_new_tokens=count, max_new_tokens=count)

    times: dict[str, list[float]] = {"whit": [], "transformers": []}
    for _ in range(arguments.rounds + 1):
        for name, work in (("whit", ours), ("transformers", theirs)):
            started = time.perf_counter()
            work()
            times[name].append(time.perf_counter() - started)
    medians = {name: statistics.median(values[1:]) for name, values in times.items()}
    for name, seconds in medians.items():
        print(f"{name:<13} {arguments.rows * arguments.tokens / seconds:8.0f} tokens/s")
    print(f"ratio         {medians['transformers'] / medians['whit']:8.2f}")


if __name__ == "__main__":
    main()
