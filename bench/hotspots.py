"""Where a training step and a sampling step spend their time: `python bench/hotspots.py [MODEL] [--threads N]`.

Prints a table of operators for each, and writes a trace that chrome://tracing opens.
"""

import argparse

import torch
from torch.profiler import ProfilerActivity, profile

from whit.core.types import Message
from whit.data.batch import collate
from whit.data.render import Renderer
from whit.generation.engine import Engine
from whit.generation.sampler import Sampling
from whit.models.load import load_policy, resolve_model
from whit.objectives._types import Term
from whit.objectives.cross_entropy import cross_entropy
from whit.tasks.word_problems import word_problems
from whit.training.optim import Optim, Optimizer
from whit.training.signals import Forward, accumulate
from whit.training.weights import token_weights


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", nargs="?", default="micro-base")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--dtype", default="bfloat16")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)

    policy = load_policy(resolve_model(arguments.model), dtype=arguments.dtype)
    renderer = Renderer(policy.tokenizer, max_length=policy.decoder.config.max_length, more_stops=policy.stop_ids)
    examples = list(word_problems("train", size=32))
    documents = [renderer.document([Message("user", e.prompt)], f"{e.rationale}\n#### {e.gold}") for e in examples]
    optimizer, term = Optimizer(policy.decoder, Optim(), 1e-6), Term(cross_entropy)
    weights = {term.name: token_weights(documents, term)}
    batch = collate(documents, torch.device("cpu"))
    accumulate(Forward(policy.decoder), batch, [term], weights, optimizer, 0.0)
    with profile(activities=[ProfilerActivity.CPU]) as training:
        accumulate(Forward(policy.decoder), batch, [term], weights, optimizer, 0.0)
        optimizer.step(0.5)
    print(f"training step, {len(batch.tokens_L)} tokens")
    print(training.key_averages().table(sort_by="self_cpu_time_total", row_limit=15, max_name_column_width=45))
    training.export_chrome_trace("training-trace.json")

    engine = Engine(policy.decoder, renderer.stop_ids)
    prompts = [renderer.prompt([Message("user", e.prompt)]) for e in examples]
    with profile(activities=[ProfilerActivity.CPU]) as sampling:
        engine.generate(prompts, Sampling(max_new_tokens=32))
    print(f"sampling, {len(prompts)} prompts x 32 tokens")
    print(sampling.key_averages().table(sort_by="self_cpu_time_total", row_limit=15, max_name_column_width=45))


if __name__ == "__main__":
    main()
