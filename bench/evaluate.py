"""Greedy evaluation on GSM8K, items a second, against lm-evaluation-harness on the same prompts.

    python bench/evaluate.py [--model smollm2-135m] [--shots 0] [--items 64] [--tokens 128] [--batch 32] [--rounds 5]

Both load the model in bfloat16, write at most --tokens tokens for each item and judge them. --shots solved problems stand
before each, in the same message; the harness' own task has 5. The guard is the share of right
answers; `bench/parity.py` compares item by item. The harness runs with --batch prompts at a time.
"""

import argparse
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from _rounds import Figures, compare

if TYPE_CHECKING:
    from whit.core.types import Example, Message


def whit(arguments: argparse.Namespace) -> Figures:
    from whit.data.render import Renderer
    from whit.evaluation.evaluate import evaluate
    from whit.models.load import load_policy, resolve_model

    chosen = items(arguments)
    started = time.perf_counter()
    policy = load_policy(resolve_model(arguments.model), dtype="bfloat16")
    renderer = Renderer(policy.tokenizer, max_length=policy.decoder.config.max_length, more_stops=policy.stop_ids)
    ask = asked(arguments)
    records = evaluate(policy, renderer, chosen, ask, max_new_tokens=arguments.tokens, num_samples=0).records
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
        dtype="bfloat16", ask=asked(arguments),
    )  # fmt: skip
    seconds = time.perf_counter() - started
    return {
        "items_per_second": len(chosen) / seconds,
        "strict": sum(j.strict for j in judged) / len(chosen),
        "lenient": sum(j.flexible for j in judged) / len(chosen),
    }


def asked(arguments: argparse.Namespace) -> Callable[["Example"], list["Message"]]:
    """One message of the user: problems with their solutions, and the problem."""
    from whit.core.answers import completion_text
    from whit.core.types import Message
    from whit.prompting.zero_shot import zero_shot
    from whit.stages._task import load_task

    solved = [e for e in load_task(arguments.task).take("train") if e.rationale][: arguments.shots]
    before = "".join(f"{zero_shot(e)[0].content}\n{completion_text(e, with_rationale=True)}\n\n" for e in solved)
    return lambda example: [Message("user", before + zero_shot(example)[0].content)]


def items(arguments: argparse.Namespace) -> list:
    from whit.stages._score import choose_items
    from whit.stages._task import load_task

    return choose_items(load_task(arguments.task).take("test"), arguments.items)


def options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--model", default="smollm2-135m")
    parser.add_argument("--task", default="gsm8k")
    parser.add_argument("--shots", type=int, default=0)
    parser.add_argument("--items", type=int, default=64)
    parser.add_argument("--tokens", type=int, default=128)
    parser.add_argument("--batch", type=int, default=32, help="of the peer")


if __name__ == "__main__":
    compare("evaluate", {"whit": whit, "lm_eval": lm_eval}, figure="items_per_second", guard=("strict", "lenient"),
            peers=("lm_eval",), options=options, variant="shots", aims={"lm_eval": (5.0, 0.0)})  # fmt: skip
