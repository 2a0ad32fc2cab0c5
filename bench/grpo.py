"""A GRPO step, sampling and update together, against TRL's GRPOTrainer at its best setting without another engine.

    python bench/grpo.py [--model smollm2-135m] [--prompts 2] [--group 8] [--tokens 128] [--steps 3] [--rounds 5]

Both sample groups at temperature 1, reward every second word in the same way, and make one update a step in bfloat16. The
figure is sampled tokens over the seconds of whole steps, so that other lengths are no other speed. The guard is the mean
reward of the first steps, which both take from the same model.
"""

import argparse
import json
import statistics
import tempfile
import time
from itertools import pairwise
from pathlib import Path
from typing import Any

from _rounds import Figures, compare

SKIPPED = 1  # step at the start, where memory is found and kernels are chosen


def reward(text: str) -> float:
    """The share of different words: never the same for a whole group."""
    words = text.split()
    return len(set(words)) / max(1, len(words))


def reward_whit(prompts: list[str], completions: list[str], **_: Any) -> list[float]:
    """As whit and TRL call reward functions."""
    return [reward(completion) for completion in completions]


def whit(arguments: argparse.Namespace) -> Figures:
    from whit.recipes.pipeline import Site, run_pipeline
    from whit.recipes.recipe import Recipe

    algorithm = {"name": "grpo", "group_size": arguments.group}
    stage = {"kind": "rl", "algorithm": algorithm, "prompts_per_step": arguments.prompts, "optim": {"lr": 1e-6}}
    with tempfile.TemporaryDirectory() as folder:
        task = Path(folder, "prompts.jsonl")
        rows = [{"prompt": e.prompt, "answer": e.gold, "split": split}
                for split in ("train", "dev", "test") for e in questions(split)]  # fmt: skip
        task.write_text("".join(json.dumps(row) + "\n" for row in rows))
        recipe = Recipe.make({
            "name": "bench", "model": arguments.model, "dtype": "bfloat16", "stage": [stage],
            "task": {"name": str(task), "verifier": f"{Path(__file__)}:reward_whit"},
            "max_new_tokens": arguments.tokens, "budget": {"flops": arguments.flops},
        })  # fmt: skip
        made = run_pipeline(recipe, Site(Path(folder, "runs")))[-1]
        lines = [json.loads(line) for line in (made.path / "metrics.jsonl").read_text().splitlines()][SKIPPED:]
        count = arguments.prompts * arguments.group
        return {
            "tokens_per_second": sum(line["completion_tokens"] * count for line in lines)
            / sum(line["seconds"] for line in lines),
            "seconds_per_step": statistics.mean(line["seconds"] for line in lines),
            "completion_tokens": statistics.mean(line["completion_tokens"] for line in lines),
            "reward": statistics.mean(line["reward"] for line in lines), "steps": len(lines),
        }  # fmt: skip


def trl(arguments: argparse.Namespace) -> Figures:
    import torch
    from datasets import Dataset
    from transformers import TrainerCallback
    from trl import GRPOConfig, GRPOTrainer

    from whit.models.load import resolve_model

    logs: list[dict[str, float]] = []
    ends: list[float] = []

    class Clock(TrainerCallback):  # type: ignore[misc]
        def on_step_end(self, *_: Any, **__: Any) -> None:
            ends.append(time.perf_counter())

        def on_log(self, args: Any, state: Any, control: Any, logs_: Any = None, **given: Any) -> None:
            logs.append(dict(given.get("logs") or logs_ or {}))

    def rewards(completions: list[Any], **_: Any) -> list[float]:
        return [reward(completion[0]["content"]) for completion in completions]

    rows = [{"prompt": [{"role": "user", "content": example.prompt}]} for example in questions("train")]
    with tempfile.TemporaryDirectory() as folder:
        config = GRPOConfig(
            output_dir=folder, max_steps=arguments.steps + SKIPPED, num_generations=arguments.group,
            per_device_train_batch_size=arguments.prompts * arguments.group, max_completion_length=arguments.tokens,
            learning_rate=1e-6, bf16=True, use_cpu=True, gradient_checkpointing=False, report_to=[], temperature=1.0,
            save_strategy="no", logging_steps=1, beta=0.0, model_init_kwargs={"dtype": torch.bfloat16},
            disable_tqdm=True,
        )  # fmt: skip
        trainer = GRPOTrainer(
            model=str(resolve_model(arguments.model)), reward_funcs=rewards, args=config,
            train_dataset=Dataset.from_list(rows), callbacks=[Clock()],
        )  # fmt: skip
        trainer.train()
    steps = [log for log in logs if "completions/mean_length" in log][SKIPPED:]
    seconds = [after - before for before, after in pairwise(ends)][SKIPPED - 1 :]
    tokens = [log["completions/mean_length"] * arguments.prompts * arguments.group for log in steps]
    return {
        "tokens_per_second": sum(tokens) / sum(seconds), "seconds_per_step": statistics.mean(seconds),
        "completion_tokens": statistics.mean(log["completions/mean_length"] for log in steps),
        "reward": statistics.mean(log["reward"] for log in steps), "steps": len(steps),
    }  # fmt: skip


def questions(split: str) -> list[Any]:
    """Word problems of the embedded task."""
    from whit.tasks.word_problems import word_problems

    return list(word_problems(split, size=64))


def options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--model", default="smollm2-135m")
    parser.add_argument("--prompts", type=int, default=2)
    parser.add_argument("--group", type=int, default=8)
    parser.add_argument("--tokens", type=int, default=128)
    parser.add_argument("--steps", type=int, default=3, help="of the peer")
    parser.add_argument("--flops", type=float, default=1.5e13, help="of our side: what its steps may spend")


if __name__ == "__main__":
    compare("grpo", {"whit": whit, "trl": trl}, figure="tokens_per_second", guard=("reward",), peers=("trl",),
            options=options, aims={"trl": (4.0, 0.5)})  # fmt: skip
