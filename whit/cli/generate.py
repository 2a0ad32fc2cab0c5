"""`whit generate MODEL`: completions of prompts, from arguments or standard input, one a line."""

import sys
from typing import Annotated, Literal

import typer

from whit.cli._options import Device, Json, resolve_device
from whit.cli._show import as_json, say


def generate(
    model: Annotated[str, typer.Argument(help="A model directory, GGUF file or hub name.")],
    prompts: Annotated[list[str] | None, typer.Argument(help="Prompts; none: one a line of standard input.")] = None,
    samples: Annotated[int, typer.Option(min=1, help="Completions a prompt.")] = 1,
    temperature: Annotated[float, typer.Option(help="0 is greedy.")] = 0.0,
    top_p: Annotated[float, typer.Option()] = 1.0,
    max_new_tokens: Annotated[int, typer.Option(min=1)] = 256,
    seed: Annotated[int, typer.Option()] = 0,
    template: Annotated[str | None, typer.Option(help='"plain" for models without a chat template.')] = None,
    dtype: Annotated[Literal["float32", "bfloat16"], typer.Option()] = "bfloat16",
    device: Device = "auto",
    json: Json = False,
) -> None:
    """Write completions of prompts, in the model's own chat template."""
    from whit.core.errors import UsageError
    from whit.core.settings import parse_model
    from whit.core.types import Message
    from whit.generation.engine import Engine
    from whit.generation.sampler import Sampling
    from whit.models.load import load_policy, resolve_model
    from whit.stages._model import renderer_of

    chosen = {"temperature": temperature, "top_p": top_p, "max_new_tokens": max_new_tokens}
    sampling = parse_model(Sampling, chosen, "generate")
    asked = prompts or [line.rstrip("\n") for line in sys.stdin if line.strip()]
    if not asked:
        raise UsageError("there is no prompt. Give prompts as arguments, or one a line on standard input.")
    policy = load_policy(resolve_model(model), dtype=dtype, device=resolve_device(device))
    renderer = renderer_of(policy, template)
    engine = Engine(policy.decoder, renderer.stop_ids, decode=renderer.decode)
    ids = [renderer.prompt([Message("user", prompt)]) for prompt in asked]
    groups = engine.generate(ids, sampling, num_samples=samples, seed=seed)
    if json:
        rows = [
            [{"text": renderer.decode(c.ids), "finish": c.finish, "tokens": len(c.ids)} for c in group]
            for group in groups
        ]
        as_json([{"prompt": prompt, "completions": row} for prompt, row in zip(asked, rows, strict=True)])
        return
    for group in groups:
        for completion in group:
            say(renderer.decode(completion.ids) + (" [cut off]" if completion.finish == "length" else ""))
