"""lm-evaluation-harness on our examples: its prompts, its model, its generation, its extraction; our text is only asked.

A peer for tests and benchmarks, where the package lm_eval is installed. Source of the filters: its task gsm8k, version 3.
"""

import json
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from whit.core.types import AnswerFormat, Ask, Example
from whit.prompting.zero_shot import zero_shot

STRICT: dict[AnswerFormat, str] = {
    "hash": r"#### (\-?[0-9\.\,]+)",  # as published
    "boxed": r"\\boxed\{(\-?[0-9\.\,]+)\}",
}
FLEXIBLE = r"(-?[$0-9.,]{2,})|(-?[0-9]+)"  # as published


@dataclass(frozen=True)
class Judged:
    """One item as the harness sees it: the prompt it sent, the text it got, and both of its verdicts."""

    prompt: str
    text: str
    strict: bool
    flexible: bool


def harness(
    model: Path, examples: Sequence[Example], *, max_new_tokens: int, batch_size: int = 8, dtype: str = "float32",
    ask: Ask = zero_shot,
) -> list[Judged]:  # fmt: skip
    """Greedy completions of a model directory on the CPU, through a task file on local JSONL, in order.

    The examples ask for one answer format, "hash" or "boxed", and their gold answers are numbers. ask: the one message of
    the user that asks an example.
    """
    from lm_eval import simple_evaluate
    from lm_eval.models.huggingface import HFLM
    from lm_eval.tasks import TaskManager

    (answer_format,) = {example.answer_format for example in examples}
    with tempfile.TemporaryDirectory() as folder:
        rows = Path(folder, "items.jsonl")
        rows.write_text("".join(json.dumps(_row(number, e, ask)) + "\n" for number, e in enumerate(examples)))
        Path(folder, "whit_parity.yaml").write_text(
            json.dumps(_task(rows, answer_format, max_new_tokens))
        )  # JSON is YAML
        found = simple_evaluate(
            model=HFLM(pretrained=str(model), dtype=dtype, device="cpu", batch_size=batch_size),
            tasks=["whit_parity"], task_manager=TaskManager(include_path=folder, include_defaults=False),
            apply_chat_template=True, log_samples=True, bootstrap_iters=0,
        )  # fmt: skip
    samples = found["samples"]["whit_parity"]
    by_item: dict[int, dict[str, Any]] = {}
    for sample in samples:
        by_item.setdefault(sample["doc"]["number"], {})[sample["filter"]] = sample
    return [
        Judged(
            prompt=by_filter["strict"]["arguments"][0][0],
            text=by_filter["strict"]["resps"][0][0],
            strict=bool(by_filter["strict"]["exact_match"]),
            flexible=bool(by_filter["flexible"]["exact_match"]),
        )
        for _, by_filter in sorted(by_item.items())
    ]


def _row(number: int, example: Example, ask: Ask) -> dict[str, object]:
    (message,) = ask(example)
    return {"number": number, "prompt": message.content, "gold": example.gold}


def _task(rows: Path, answer_format: AnswerFormat, max_new_tokens: int) -> dict[str, object]:
    def choose(name: str, pattern: str) -> dict[str, object]:
        last = {"function": "regex", "regex_pattern": pattern, "group_select": -1}
        return {"name": name, "filter": [last, {"function": "take_first"}]}

    return {
        "task": "whit_parity", "dataset_path": "json", "dataset_kwargs": {"data_files": {"test": str(rows)}},
        "test_split": "test", "output_type": "generate_until", "doc_to_text": "{{prompt}}", "doc_to_target": "{{gold}}",
        "generation_kwargs": {"until": [], "do_sample": False, "max_gen_toks": max_new_tokens},
        "filter_list": [choose("strict", STRICT[answer_format]), choose("flexible", FLEXIBLE)],
        "metric_list": [{
            "metric": "exact_match", "aggregation": "mean", "higher_is_better": True, "ignore_case": True,
            "ignore_punctuation": False, "regexes_to_ignore": [",", r"\$", "(?s).*#### ", r"\.$"],
        }],
    }  # fmt: skip
