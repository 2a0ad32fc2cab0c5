"""Supervised fine-tuning on GSM8K's worked solutions, tokens a second, against TRL's SFTTrainer at its best.

    python bench/sft.py [--model smollm2-135m] [--steps 8] [--documents 16] [--rounds 5]

Both train in bfloat16 on the same solutions with the same number of documents a step; TRL packs them to rows of --length
tokens. `product_share` is the rate of our operations over that of a product of 4,096-cubed matrices in the same process.
The guard is the loss of the trained weights on held-out solutions, computed by transformers for both.
"""

import argparse
import json
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

from _rounds import Figures, compare, peak_bytes, product_rate

SKIPPED = 2  # steps at the start, where memory is found and kernels are chosen
HELD_OUT = 16


def whit(arguments: argparse.Namespace) -> Figures:
    from whit.recipes.pipeline import Site, run_pipeline
    from whit.recipes.recipe import Recipe

    count = len(examples(arguments.task, "train"))
    stage = {"kind": "sft", "batch_documents": arguments.documents, "optim": {"lr": 1e-5},
             "epochs": arguments.steps * arguments.documents / count}  # fmt: skip
    recipe = Recipe.make(
        {"name": "bench", "model": arguments.model, "dtype": "bfloat16", "stage": [stage], "task": arguments.task}
    )
    with tempfile.TemporaryDirectory() as folder:
        made = run_pipeline(recipe, Site(Path(folder, "runs")))[-1]
        lines = [json.loads(line) for line in (made.path / "metrics.jsonl").read_text().splitlines()][SKIPPED:]
        seconds = sum(line["seconds"] for line in lines)
        first = json.loads((made.path / "metrics.jsonl").read_text().splitlines()[SKIPPED - 1])["flops"]
        peak = peak_bytes()
        return {
            "peak_bytes": peak,
            "product_share": (lines[-1]["flops"] - first) / seconds / product_rate(),
            "tokens_per_second": sum(line["tokens"] for line in lines) / seconds,
            "supervised_per_second": sum(line["supervised_tokens"] for line in lines) / seconds,
            "held_out_loss": loss_of(made.path, arguments.task),
        }


def trl(arguments: argparse.Namespace) -> Figures:
    import torch
    from datasets import Dataset
    from transformers import TrainerCallback
    from trl import SFTConfig, SFTTrainer

    from whit.models.load import resolve_model

    train = pairs(examples(arguments.task, "train"))[: 2 * arguments.steps * arguments.batch * 8]
    rows = [
        {"prompt": [{"role": "user", "content": p}], "completion": [{"role": "assistant", "content": c}]}
        for p, c in train
    ]
    ends: list[float] = []
    tokens: list[int] = []

    class Clock(TrainerCallback):  # type: ignore[misc]
        def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            ends.append(time.perf_counter())
            tokens.append(int(state.num_input_tokens_seen))

    with tempfile.TemporaryDirectory() as folder:
        config = SFTConfig(
            output_dir=folder, max_steps=arguments.peer_steps, per_device_train_batch_size=arguments.batch,
            gradient_accumulation_steps=1, learning_rate=1e-5, packing=True, max_length=arguments.length, bf16=True,
            use_cpu=True, gradient_checkpointing=False, report_to=[], save_strategy="no", logging_steps=1000,
            include_num_input_tokens_seen="all", model_init_kwargs={"dtype": torch.bfloat16}, disable_tqdm=True,
            dataloader_num_workers=0,
        )  # fmt: skip
        trainer = SFTTrainer(
            model=str(resolve_model(arguments.model)), args=config, train_dataset=Dataset.from_list(rows),
            callbacks=[Clock()],
        )  # fmt: skip
        trainer.train()
        peak = peak_bytes()
        trainer.save_model(folder)
        first = min(SKIPPED, len(ends) - 2)
        rates = [
            (after - before) / (stop - start)
            for before, after, start, stop in zip(
                tokens[first:], tokens[first + 1 :], ends[first:], ends[first + 1 :], strict=False
            )
        ]
        share = sum(len(c) for _, c in train) / sum(len(p) + len(c) for p, c in train)
        return {
            "peak_bytes": peak, "product_share": 0.0, "tokens_per_second": statistics.mean(rates),
            "supervised_per_second": share * statistics.mean(rates), "held_out_loss": loss_of(Path(folder), arguments.task),
        }  # fmt: skip


def examples(task: str, split: str) -> list[Any]:
    """Those with a worked solution."""
    from whit.stages._task import load_task

    return [example for example in load_task(task).take(split) if example.rationale]


def pairs(chosen: list[Any]) -> list[tuple[str, str]]:
    """What is asked and what is learned, as text, the same for both."""
    from whit.core.answers import completion_text
    from whit.prompting.zero_shot import zero_shot

    return [(zero_shot(example)[0].content, completion_text(example, with_rationale=True)) for example in chosen]


def loss_of(model: Path, task: str) -> float:
    """Mean cross-entropy of solutions of the dev split, in nats a token, by transformers in float32."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(model)
    peer = AutoModelForCausalLM.from_pretrained(model, dtype=torch.float32).eval()
    losses = []
    for prompt, solution in pairs(examples(task, "dev")[:HELD_OUT]):
        asked = tokenizer.apply_chat_template(
            [{"role": "user", "content": prompt}], tokenize=False, add_generation_prompt=True
        )
        start = len(tokenizer(asked, add_special_tokens=False)["input_ids"])
        ids = torch.tensor([tokenizer(asked + solution, add_special_tokens=False)["input_ids"]])
        labels = ids.clone()
        labels[:, :start] = -100
        with torch.no_grad():
            losses.append(float(peer(ids, labels=labels).loss))
    return statistics.mean(losses)


def options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--model", default="smollm2-135m")
    parser.add_argument("--task", default="gsm8k")
    parser.add_argument("--steps", type=int, default=8, help="here")
    parser.add_argument("--peer-steps", type=int, default=4, help="of the peer")
    parser.add_argument("--documents", type=int, default=16, help="of a step, here")
    parser.add_argument("--batch", type=int, default=4, help="rows of a step, for the peer")
    parser.add_argument("--length", type=int, default=1024, help="tokens of a row, for the peer")


if __name__ == "__main__":
    compare("sft", {"whit": whit, "trl": trl}, figure="tokens_per_second", guard=("held_out_loss",), peers=("trl",),
            options=options, aims={"trl": (3.0, 0.5)})  # fmt: skip
