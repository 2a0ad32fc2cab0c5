"""`whit cache TEACHER DIR --student M --task T`: what a teacher says of the training texts, kept to be distilled from."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from whit.cli._options import TASK, Device, Json, resolve_device, task_spec
from whit.cli._show import Ticker, as_json, note, say
from whit.core.words import duration


def cache(
    teacher: Annotated[str, typer.Argument(help="A model directory, GGUF file or hub name.")],
    output: Annotated[Path, typer.Argument(help="The directory to write or to go on with.")],
    student: Annotated[str, typer.Option("--student", help="The model that will be trained: its template counts.")],
    task: Annotated[str, typer.Option("--task", help=TASK)],
    items: Annotated[int | None, typer.Option(min=1, help="So many problems, drawn at random; default all.")] = None,
    keep: Annotated[Literal["top", "sampled"], typer.Option(help="The likeliest tokens, or drawn ones.")] = "top",
    kept: Annotated[int | None, typer.Option(min=1, max=255, help="Tokens; default 16, or 50 draws.")] = None,
    seed: Annotated[int, typer.Option(help="Of the draws.")] = 0,
    columns: Annotated[str | None, typer.Option(help="prompt=question,answer=label for a file.")] = None,
    template: Annotated[str | None, typer.Option(help='"plain" for models without a chat template.')] = None,
    dtype: Annotated[Literal["float32", "bfloat16"], typer.Option()] = "bfloat16",
    device: Device = "auto",
    json: Json = False,
) -> None:
    """Keep a teacher's probabilities of the task's worked solutions, so that it need not be there while `kd` trains.

    Use it as `teacher = DIR`, with the objective topk_kl, or sampled_kl for drawn tokens. Run it again and it goes on where
    it was.
    """
    from whit.core.ledger import Ledger
    from whit.core.rundir import Facts, Run
    from whit.data.teacher_cache import TeacherCache
    from whit.models.load import resolve_model
    from whit.stages._model import renderer_at
    from whit.stages._score import choose_items
    from whit.stages._task import load_task
    from whit.stages._teachers import cache_facts, load_teacher
    from whit.stages.cache import gold_traces
    from whit.training.teacher_pass import cache_teacher

    place = resolve_device(device)
    facts = Facts("cache", {}, {}, seed, None, "", dtype, place, "")
    run = Run(output, facts, Ledger(), dtype=dtype, device=place, template=template)
    path, ticker = resolve_model(student), Ticker()
    renderer = renderer_at(path, template)
    examples = choose_items(load_task(task_spec(task, columns)).take("train"), items)
    documents = [trace.document(renderer) for trace in gold_traces(renderer, examples)]
    policy = load_teacher(teacher, run)
    cache_teacher(
        output, cache_facts(path, renderer, policy, kind=keep, kept=kept), documents,
        policy.decoder, seed=seed, ledger=run.ledger,
        notify=lambda done: ticker.show(f"{done:,} of {len(documents):,} texts"),
    )  # fmt: skip
    ticker.clear()
    made = TeacherCache.open(output)
    found = {
        "texts": len(documents), "tokens": made.num_tokens, "bytes_per_token": made.bytes_per_token,
        "flops": run.ledger.flops, "path": str(output),
    }  # fmt: skip
    if json:
        as_json(found)
        return
    note(f"{run.ledger.flops:.2g} operations, {duration(run.ledger.seconds)}")
    say(f"{len(documents):,} texts, {made.num_tokens:,} tokens, {made.bytes_per_token:.0f} bytes a token")
    say(str(output))
