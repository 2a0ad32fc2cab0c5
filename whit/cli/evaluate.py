"""`whit evaluate MODEL --task T`: the score of any model on any task or file."""

from collections.abc import Collection
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from whit.cli._options import RUNS, TASK, Device, Json, Runs, resolve_device, task_spec
from whit.cli._show import StageView, as_json, note, say, tell_task
from whit.core.words import plural

if TYPE_CHECKING:
    from whit.recipes.recipe import Recipe

# Lenient takes an answer in any form; strict, only in the one that the prompt asks for.
WORDS = {
    "num_items": "items", "num_samples": "samples an item", "accuracy": "accuracy, lenient",
    "strict": "accuracy, strict", "format_rate": "in the form asked for", "truncated": "cut off",
    "tokens": "tokens a completion", "greedy_accuracy": "greedy accuracy, lenient",
    "greedy_strict": "greedy accuracy, strict", "greedy_format_rate": "greedy, in the form",
    "greedy_truncated": "greedy, cut off", "greedy_tokens": "greedy, tokens", "statuses": "judged by the verifier",
    "verifier": "verifier", "answer_format": "answer format", "shots": "examples shown before",
    "too_long": "too long for the context",
}  # fmt: skip
LABEL = max(map(len, WORDS.values()))


def evaluate(
    ctx: typer.Context,
    model: Annotated[str, typer.Argument(help="A model directory, GGUF file or hub name.")],
    task: Annotated[
        str | None, typer.Option("--task", help=f"{TASK} Default: that of the run, if MODEL is one.")
    ] = None,
    split: Annotated[str, typer.Option(help="train, dev, test or ood")] = "test",
    items: Annotated[int | None, typer.Option(help="Score so many items, drawn at random; default all.")] = None,
    samples: Annotated[
        int, typer.Option(min=0, help="Sampled completions an item, beside the greedy one; 0: greedy alone.")
    ] = 4,
    max_new_tokens: Annotated[int, typer.Option(help="Where completions are cut off.")] = 256,
    text: Annotated[
        Path | None, typer.Option(help="Predict plain text, a .txt file or one with a column text, instead of a task.")
    ] = None,
    loss: Annotated[
        bool, typer.Option("--loss", help="The loss of the split's worked solutions, instead of completions.")
    ] = False,
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
    from whit.cli._predicted import of_solutions, of_text, tell_predicted

    exact = {"dtype": "float32" if dtype == "auto" else dtype, "device": resolve_device(device)}
    if text is not None:
        _check_read(ctx, ("model", "text", "dtype", "device", "json"), f"--text {text}")
        tell_predicted(of_text(model, text, **exact), json=json)
        return
    from whit.core.types import Interval
    from whit.evaluation.evaluate import Evaluation
    from whit.recipes.pipeline import Site, start_artifact
    from whit.recipes.recipe import Recipe
    from whit.recipes.scoring import score

    recipe = Recipe.make({
        "name": "evaluate", "model": model, "task": _own_task(model, columns) if task is None else task_spec(task, columns),
        "template": template, "dtype": dtype, "max_new_tokens": max_new_tokens, "stage": [{"kind": "sft"}],
        "evaluate": {"items": items, "split": split},
    })  # fmt: skip
    start = start_artifact(recipe)
    assert start is not None
    if loss:
        read = ("model", "task", "split", "items", "loss", "columns", "template", "dtype", "device", "json")
        _check_read(ctx, read, "--loss")
        tell_predicted(of_solutions(recipe, **exact), json=json)
        return
    if by is not None:
        _check_fact(recipe, by)
    view = StageView()
    site = Site(runs, device=resolve_device(device), notify=view)
    tell_task(recipe.task)
    result = score(start, recipe, site, samples=samples, way="few_shot" if few_shot else "zero_shot")
    view.ticker.clear()
    if items and items > result.summary["num_items"]:
        note(f"--items {items}: the split '{split}' has {result.summary['num_items']}; all of them are scored")
    parts = Evaluation.load(Path(result.path, "completions.jsonl")).by(by) if by else {}
    if json:
        as_json({**result.model_dump(), **({"by": {by: parts}} if by else {})})
        return
    _tell(result.summary)
    for fact, row in parts.items():
        shares = [Interval(*row[name]).percent() for name in ("accuracy", "greedy_accuracy") if name in row]
        say(f"{f'{by} {fact}':<{LABEL}} {shares[0]:>22}  {row['num_items']:,} items")
    say(result.path)


def _tell(summary: dict[str, Any]) -> None:
    from whit.core.types import Interval

    for name, value in summary.items():
        label = WORDS.get(name, name)
        if isinstance(value, dict):  # how many completions the verifier could judge
            say(f"{label:<{LABEL}} {', '.join(f'{number:,} {status}' for status, number in value.items()):>22}")
        elif name == "too_long":
            say(f"{label:<{LABEL}} {plural(value, 'item'):>22}")
        elif isinstance(value, list):
            say(f"{label:<{LABEL}} {Interval(*value).percent():>22}")
        else:
            say(f"{label:<{LABEL}} {value if not isinstance(value, float) else round(value, 1):>22}")


def _check_read(ctx: typer.Context, read: Collection[str], way: str) -> None:
    """Raises UsageError for options that were given and are not among those that a way of evaluating reads."""
    from whit.core.errors import UsageError

    given = [name for name in ctx.params if (source := ctx.get_parameter_source(name)) and source.name == "COMMANDLINE"]
    if unread := [f"--{name.replace('_', '-')}" for name in given if name not in read]:
        raise UsageError(f"{way} writes no completions and reads no {', no '.join(unread)}. Leave that out.")


def _check_fact(recipe: "Recipe", fact: str) -> None:
    """Raises UsageError for a fact that no example has, before anything is scored."""
    from whit.core.errors import UsageError
    from whit.stages._task import load_task

    known = sorted(
        {name for example in load_task(recipe.task).take(recipe.evaluate.split) for name in example.metadata}
    )
    if fact not in known:
        told = f"The task's examples have {', '.join(known)}." if known else "The task's examples have none."
        raise UsageError(f"--by {fact}: there is no such fact. {told}")


def _own_task(model: str, columns: str | None) -> Any:
    """The task of a run, said beside the result. Raises UsageError where the model is none."""
    from whit.core.errors import UsageError
    from whit.core.settings import toml_value
    from whit.recipes.needs import task_made_with

    found = task_made_with(model)
    if found is None:
        raise UsageError(
            f"what should {model} be asked? Give --task, with a task's name, a file or a table. Only the directory of a "
            "run has a task of its own."
        )
    if columns:
        raise UsageError(f"--columns {columns}: the columns of which file? Give --task too, or leave both out.")
    note(f"task of the run: {toml_value(found)}")
    return found
