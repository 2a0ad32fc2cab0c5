"""`whit write MODEL FILE --task T`: a model's solutions of a task's problems, judged: the texts to distil from."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from whit.cli._options import Device, Json, resolve_device
from whit.cli._show import Ticker, as_json, duration, note, say


def write(
    model: Annotated[str, typer.Argument(help="The teacher: a model directory, GGUF file or hub name.")],
    output: Annotated[Path, typer.Argument(help="The file to write or to go on with, .jsonl.")],
    task: Annotated[str, typer.Option("--task", help="A task's name, or a CSV / JSONL / Parquet file.")],
    split: Annotated[Literal["train", "dev"], typer.Option(help="Whose problems.")] = "train",
    items: Annotated[int | None, typer.Option(min=1, help="So many problems, drawn at random; default all.")] = None,
    samples: Annotated[int, typer.Option(min=1, help="Solutions a problem.")] = 1,
    temperature: Annotated[float, typer.Option(help="0 is greedy.")] = 0.7,
    top_p: Annotated[float, typer.Option()] = 1.0,
    max_new_tokens: Annotated[int, typer.Option(min=1, help="Where solutions are cut off.")] = 256,
    seed: Annotated[int, typer.Option()] = 0,
    columns: Annotated[str | None, typer.Option(help="prompt=question,answer=label for a file.")] = None,
    template: Annotated[str | None, typer.Option(help='"plain" for models without a chat template.')] = None,
    dtype: Annotated[Literal["float32", "bfloat16"], typer.Option()] = "bfloat16",
    device: Device = "auto",
    json: Json = False,
) -> None:
    """Write solutions of a task's problems to a file that `teacher = FILE` distils from.

    Right and wrong ones are written, with the verdict; `keep = "correct"` of the stage kd trains on the right ones alone.
    Run it again and it goes on where it was.
    """
    from whit.core.errors import UsageError
    from whit.core.ledger import Ledger
    from whit.core.settings import parse_model
    from whit.data.render import Renderer
    from whit.generation.engine import Engine
    from whit.generation.sampler import Sampling
    from whit.models.load import load_policy, resolve_model
    from whit.prompting.zero_shot import zero_shot
    from whit.rollouts.texts import write_texts
    from whit.stages._model import model_artifact
    from whit.stages._score import choose_items
    from whit.stages._task import load_task

    if output.suffix != ".jsonl" or output.is_dir():
        raise UsageError(f"{output}: texts are written as rows of JSON. Give the name of a file that ends in .jsonl.")
    chosen = {"temperature": temperature, "top_p": top_p, "max_new_tokens": max_new_tokens}
    sampling = parse_model(Sampling, chosen, "write")
    examples = choose_items(load_task({"name": task, "columns": columns} if columns else task).take(split), items)
    path = resolve_model(model)
    policy = load_policy(path, dtype=dtype, device=resolve_device(device))
    renderer = Renderer(
        policy.tokenizer, max_length=policy.decoder.config.max_length, more_stops=policy.stop_ids, template=template
    )
    ledger, ticker = Ledger(), Ticker()
    rows = write_texts(
        output, examples, Engine(policy.decoder, renderer.stop_ids), renderer, zero_shot,
        made_by={"model": f"{path.name}:{model_artifact(str(path)).key}", "template": template, "dtype": dtype},
        num_samples=samples, sampling=sampling, seed=seed, ledger=ledger,
        notify=lambda done: ticker.show(f"{done:,} of {len(examples):,} problems"),
    )  # fmt: skip
    ticker.clear()
    found = {
        "texts": len(rows), "correct": sum(row["correct"] for row in rows),
        "cut_off": sum(row["finish"] == "length" for row in rows), "tokens": sum(row["tokens"] for row in rows),
        "flops": sum(row["flops"] for row in rows), "path": str(output),
    }  # fmt: skip
    if json:
        as_json(found)
        return
    note(f"written now: {ledger.flops:.2g} operations, {duration(ledger.seconds)}")
    say(f"{len(rows):,} texts, {found['correct']:,} right, {found['cut_off']:,} cut off")
    say(f"{found['tokens'] / max(1, len(rows)):.0f} tokens each, {found['flops']:.2g} operations in all")
    say(str(output))
