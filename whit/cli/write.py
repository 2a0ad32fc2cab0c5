"""`whit write MODEL FILE --task T`: a model's solutions of a task's problems, judged: the texts to distil from."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from whit.cli._options import TASK, Device, Json, resolve_device, task_spec
from whit.cli._show import Ticker, as_json, note, say
from whit.core.words import duration

if TYPE_CHECKING:
    from whit.core.types import Example
    from whit.generation.sampler import Sampling
    from whit.rollouts.endpoint import Asked


def write(
    model: Annotated[str, typer.Argument(help="The teacher: a model directory, GGUF file, hub name or server's URL.")],
    output: Annotated[Path, typer.Argument(help="The file to write or to go on with, .jsonl.")],
    task: Annotated[str, typer.Option("--task", help=TASK)],
    split: Annotated[Literal["train", "dev"], typer.Option(help="Whose problems.")] = "train",
    items: Annotated[int | None, typer.Option(min=1, help="So many problems, drawn at random; default all.")] = None,
    samples: Annotated[int, typer.Option(min=1, help="Solutions a problem.")] = 1,
    temperature: Annotated[float, typer.Option(help="0 is greedy.")] = 0.7,
    top_p: Annotated[float, typer.Option()] = 1.0,
    max_new_tokens: Annotated[int, typer.Option(min=1, help="Where solutions are cut off.")] = 256,
    seed: Annotated[int, typer.Option()] = 0,
    columns: Annotated[str | None, typer.Option(help="prompt=question,answer=label for a file.")] = None,
    template: Annotated[str | None, typer.Option(help='"plain" for models without a chat template.')] = None,
    dtype: Annotated[Literal["float32", "bfloat16"], typer.Option(help="Of a model here.")] = "bfloat16",
    device: Device = "auto",
    name: Annotated[str | None, typer.Option("--model", help="URL: the model's name on the server.")] = None,
    logprobs: Annotated[int, typer.Option(min=0, max=20, help="URL: keep so many likeliest tokens a place.")] = 0,
    workers: Annotated[int, typer.Option(min=1, help="URL: requests at the same time.")] = 8,
    timeout: Annotated[float, typer.Option(min=0.1, help="URL: seconds a request may take.")] = 600.0,
    retries: Annotated[int, typer.Option(min=0, help="URL: tries after one that failed.")] = 4,
    key_variable: Annotated[
        str | None, typer.Option(help="URL: the environment variable with the key; default OPENAI_API_KEY.")
    ] = None,
    json: Json = False,
) -> None:
    """Write solutions of a task's problems to a file that `teacher = FILE` distils from.

    Right and wrong ones are written, with the verdict; `keep = "correct"` of the stage kd trains on the right ones alone.
    Run it again and it goes on where it was. A URL is a server that speaks OpenAI's protocol, such as
    http://localhost:8000/v1.
    """
    from whit.core.errors import RunError, UsageError
    from whit.core.settings import parse_model
    from whit.generation.sampler import Sampling
    from whit.stages._score import choose_items
    from whit.stages._task import load_task

    if output.suffix != ".jsonl" or output.is_dir():
        raise UsageError(f"{output}: texts are written as rows of JSON. Give the name of a file that ends in .jsonl.")
    is_url = model.lower().startswith(("http://", "https://"))
    if is_url and (template or not name):
        raise UsageError(
            "a server renders prompts with the model's own template: leave --template out." if template
            else f"{model} may serve several models: say which one, --model NAME."
        )  # fmt: skip
    if not is_url and (name or logprobs or key_variable):
        raise UsageError(
            f"--model, --logprobs and --key-variable are for a server, and {model} is none. Leave them out, or give its "
            "URL, such as http://localhost:8000/v1."
        )
    chosen = {"temperature": temperature, "top_p": top_p, "max_new_tokens": max_new_tokens}
    sampling = parse_model(Sampling, chosen, "write")
    examples = choose_items(load_task(task_spec(task, columns)).take(split), items)
    found: dict[str, Any]
    asked: Asked | None = None
    if is_url:
        from whit.rollouts.endpoint import Endpoint, key_of

        key = key_of(key_variable or "OPENAI_API_KEY", is_needed=key_variable is not None)
        endpoint = Endpoint(model, str(name), timeout_seconds=timeout, max_retries=retries, workers=workers, key=key)
        rows, asked = _ask(output, examples, endpoint, sampling, samples, seed, logprobs)
    else:
        rows = _sample(output, examples, model, sampling, samples, seed, template, dtype, device)
    missing = len({(e.id, e.prompt) for e in examples} - {(row["id"], row["prompt"]) for row in rows})
    found = {
        "texts": len(rows), "correct": sum(row["correct"] for row in rows),
        "cut_off": sum(row["finish"] == "length" for row in rows), "tokens": sum(row["tokens"] or 0 for row in rows),
        "flops": sum(row["flops"] or 0.0 for row in rows), "path": str(output),
    }  # fmt: skip
    if asked:
        found |= {
            "flops": None, "prompt_tokens": sum(row["prompt_tokens"] or 0 for row in rows), "missing": missing,
            "failed_tries": dict(asked.failures), "without_usage": asked.without_usage,
            "reasoning_apart": asked.reasoning_apart,
        }  # fmt: skip
    if json:
        as_json(found)
    else:
        _tell(found)
    if asked and missing:
        raise RunError(
            f"{missing:,} of {len(examples):,} problems have no answer and are not in {output}; {asked.words()} Run the "
            "same command again: it asks these alone."
        )


def _sample(
    output: Path, examples: "list[Example]", model: str, sampling: "Sampling", samples: int, seed: int,
    template: str | None, dtype: str, device: str,
) -> list[dict[str, Any]]:  # fmt: skip
    """The rows of a model that is loaded here."""
    from whit.core.ledger import Ledger
    from whit.generation.engine import Engine
    from whit.models.load import load_policy, resolve_model
    from whit.prompting.zero_shot import zero_shot
    from whit.rollouts.texts import write_texts
    from whit.stages._model import model_artifact, renderer_of

    path = resolve_model(model)
    policy = load_policy(path, dtype=dtype, device=resolve_device(device))
    renderer = renderer_of(policy, template)
    ledger, ticker = Ledger(), Ticker()
    rows = write_texts(
        output, examples, Engine(policy.decoder, renderer.stop_ids), renderer, zero_shot,
        made_by={"model": f"{path.name}:{model_artifact(str(path)).key}", "template": template, "dtype": dtype},
        num_samples=samples, sampling=sampling, seed=seed, ledger=ledger,
        notify=lambda done: ticker.show(f"{done:,} of {len(examples):,} problems"),
    )  # fmt: skip
    ticker.clear()
    note(f"written now: {ledger.flops:.2g} operations, {duration(ledger.seconds)}")
    return rows


def _ask(
    output: Path, examples: "list[Example]", endpoint: Any, sampling: "Sampling", samples: int, seed: int, logprobs: int
) -> "tuple[list[dict[str, Any]], Asked]":
    """The rows of a model behind a server, and what became of the requests."""
    from whit.prompting.zero_shot import zero_shot
    from whit.rollouts.endpoint import Asked, write_answers

    asked, ticker = Asked(), Ticker()
    rows = write_answers(
        output, examples, endpoint, zero_shot, num_samples=samples, sampling=sampling, seed=seed, logprobs=logprobs,
        asked=asked, notify=lambda done: ticker.show(f"{done:,} of {len(examples):,} problems"),
    )  # fmt: skip
    ticker.clear()
    if asked.failures and len(rows) == len(examples) * samples:
        note(f"all are answered; {asked.words()}")
    if asked.without_usage:
        note(f"{asked.without_usage:,} answers came without the number of their tokens.")
    if asked.reasoning_apart:
        note(
            f"{asked.reasoning_apart:,} answers came with their reasoning apart, and it is not in the texts. To learn from "
            "it, have the server leave it in (vLLM: without --reasoning-parser; llama.cpp: --reasoning-format none)."
        )
    return rows, asked


def _tell(found: dict[str, Any]) -> None:
    each = f"{found['tokens'] / max(1, found['texts']):.0f} tokens each"
    spent = (
        f"{found['prompt_tokens']:,} tokens of prompts"
        if found["flops"] is None
        else f"{found['flops']:.2g} operations"
    )
    say(f"{found['texts']:,} texts, {found['correct']:,} right, {found['cut_off']:,} cut off")
    say(f"{each}, {spent} in all")
    say(found["path"])
