"""`whit evaluate MODEL --task T`: the score of any model on any task or file."""

from pathlib import Path
from typing import Annotated

import typer

from whit.cli._options import RUNS, Device, Json, Runs, resolve_device
from whit.cli._show import StageView, as_json, note, say
from whit.core.words import plural

# Lenient takes an answer in any form; strict, only in the one that the prompt asks for.
WORDS = {
    "num_items": "items", "num_samples": "samples an item", "accuracy": "accuracy, lenient",
    "strict": "accuracy, strict", "format_rate": "in the form asked for", "truncated": "cut off",
    "tokens": "tokens a completion", "greedy_accuracy": "greedy accuracy, lenient",
    "greedy_strict": "greedy accuracy, strict", "greedy_format_rate": "greedy, in the form",
    "greedy_truncated": "greedy, cut off", "greedy_tokens": "greedy, tokens", "statuses": "judged by the verifier",
    "shots": "examples shown before", "too_long": "too long for the context",
}  # fmt: skip
LABEL = max(map(len, WORDS.values()))


def evaluate(
    model: Annotated[str, typer.Argument(help="A model directory, GGUF file or hub name.")],
    task: Annotated[str, typer.Option("--task", help="A task's name, or a CSV / JSONL / Parquet file.")],
    split: Annotated[str, typer.Option(help="train, dev, test or ood")] = "test",
    items: Annotated[int | None, typer.Option(help="Score so many items, drawn at random; default all.")] = None,
    samples: Annotated[
        int, typer.Option(min=0, help="Sampled completions an item, beside the greedy one; 0: greedy alone.")
    ] = 4,
    max_new_tokens: Annotated[int, typer.Option(help="Where completions are cut off.")] = 256,
    by: Annotated[str | None, typer.Option(help="Also by a fact of the task's examples, such as depth.")] = None,
    few_shot: Annotated[bool, typer.Option("--few-shot", help="Show four training examples first.")] = False,
    columns: Annotated[str | None, typer.Option(help="prompt=question,answer=label for a file.")] = None,
    template: Annotated[str | None, typer.Option(help='"plain" for models without a chat template.')] = None,
    dtype: Annotated[str, typer.Option(help="auto, float32 or bfloat16")] = "auto",
    runs: Runs = RUNS,
    device: Device = "auto",
    json: Json = False,
) -> None:
    """Score a model: accuracy (lenient and strict), pass@k, majority, format, length, truncation."""
    from whit.core.types import Interval
    from whit.evaluation.evaluate import Evaluation
    from whit.recipes.pipeline import Site, start_artifact
    from whit.recipes.recipe import Recipe
    from whit.recipes.scoring import score

    recipe = Recipe.make({
        "name": "evaluate", "model": model, "task": {"name": task, "columns": columns} if columns else task,
        "template": template, "dtype": dtype, "max_new_tokens": max_new_tokens, "stage": [{"kind": "sft"}],
        "evaluate": {"items": items, "split": split},
    })  # fmt: skip
    start = start_artifact(recipe)
    assert start is not None
    view = StageView()
    site = Site(runs, device=resolve_device(device), notify=view)
    result = score(start, recipe, site, samples=samples, way="few_shot" if few_shot else "zero_shot")
    view.ticker.clear()
    if items and items > result.summary["num_items"]:
        note(f"--items {items}: the split '{split}' has {result.summary['num_items']}; all of them are scored")
    parts = Evaluation.load(Path(result.path, "completions.jsonl")).by(by) if by else {}
    if json:
        as_json({**result.model_dump(), **({"by": {by: parts}} if by else {})})
        return
    for name, value in result.summary.items():
        label = WORDS.get(name, name)
        if isinstance(value, dict):  # how many completions the verifier could judge
            say(f"{label:<{LABEL}} {', '.join(f'{number:,} {status}' for status, number in value.items()):>22}")
        elif name == "too_long":
            say(f"{label:<{LABEL}} {plural(value, 'item'):>22}")
        elif isinstance(value, list):
            say(f"{label:<{LABEL}} {Interval(*value).percent():>22}")
        else:
            say(f"{label:<{LABEL}} {value if not isinstance(value, float) else round(value, 1):>22}")
    for fact, row in parts.items():
        shares = [Interval(*row[name]).percent() for name in ("accuracy", "greedy_accuracy") if name in row]
        say(f"{f'{by} {fact}':<{LABEL}} {shares[0]:>22}  {row['num_items']:,} items")
    say(result.path)
