"""Greedy evaluation on GSM8K, items a second, against lm-evaluation-harness on the same prompts.

    python bench/evaluate.py [--model smollm2-135m] [--items 64] [--tokens 128] [--batch 32] [--rounds 5]

Both load the model in bfloat16, write at most --tokens tokens for each item and judge them. The guard is the share of right
answers; `bench/parity.py` compares item by item. The harness runs with --batch prompts at a time.
"""

import argparse
import time

from _rounds import Figures, compare


def whit(arguments: argparse.Namespace) -> Figures:
    from whit.data.render import Renderer
    from whit.evaluation.evaluate import evaluate
    from whit.models.load import load_policy, resolve_model
    from whit.prompting.zero_shot import zero_shot

    chosen = items(arguments)
    started = time.perf_counter()
    policy = load_policy(resolve_model(arguments.model), dtype="bfloat16")
    renderer = Renderer(policy.tokenizer, max_length=policy.decoder.config.max_length, more_stops=policy.stop_ids)
    records = evaluate(policy, renderer, chosen, zero_shot, max_new_tokens=arguments.tokens, num_samples=0).records
    seconds = time.perf_counter() - started
    return {
        "items_per_second": len(chosen) / seconds,
        "strict": sum(r["strict"] for r in records) / len(chosen),
        "lenient": sum(r["correct"] for r in records) / len(chosen),
    }


def lm_eval(arguments: argparse.Namespace) -> Figures:
    from whit.models.load import resolve_model
    from whit.testing.harness import harness

    chosen = items(arguments)
    started = time.perf_counter()
    judged = harness(
        resolve_model(arguments.model), chosen, max_new_tokens=arguments.tokens, batch_size=arguments.batch,
        dtype="bfloat16",
    )  # fmt: skip
    seconds = time.perf_counter() - started
    return {
        "items_per_second": len(chosen) / seconds,
        "strict": sum(j.strict for j in judged) / len(chosen),
        "lenient": sum(j.flexible for j in judged) / len(chosen),
    }


def items(arguments: argparse.Namespace) -> list:
    from whit.stages._score import choose_items
    from whit.stages._task import load_task

    return choose_items(load_task(arguments.task).take("test"), arguments.items)


def options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--model", default="smollm2-135m")
    parser.add_argument("--task", default="gsm8k")
    parser.add_argument("--items", type=int, default=64)
    parser.add_argument("--tokens", type=int, default=128)
    parser.add_argument("--batch", type=int, default=32, help="of the peer")


if __name__ == "__main__":
    compare("evaluate", {"whit": whit, "lm_eval": lm_eval}, figure="items_per_second", guard=("strict", "lenient"),
            peers=("lm_eval",), options=options, aims={"lm_eval": (5.0, 0.0)})  # fmt: skip
