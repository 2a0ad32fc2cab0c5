"""`whit attention MODEL --task T`: where a model looks when it begins to answer."""

from pathlib import Path
from typing import Annotated, Any

import typer

from whit.cli._options import TASK, Device, Json, resolve_device, task_spec
from whit.cli._show import as_json, note, say


def attention(
    model: Annotated[str, typer.Argument(help="A model directory, GGUF file or hub name.")],
    task: Annotated[str, typer.Option("--task", help=TASK)],
    split: Annotated[str, typer.Option(help="train, dev, test or ood")] = "dev",
    items: Annotated[int, typer.Option(min=1, help="Prompts to look at.")] = 40,
    hide: Annotated[
        float, typer.Option(min=0, max=1, help="Share of tokens to hide, for a model with a mask token.")
    ] = 0.15,
    template: Annotated[str | None, typer.Option(help='"plain" for models without a chat template.')] = None,
    out: Annotated[Path | None, typer.Option(help="Write pictures to this HTML file.")] = None,
    device: Device = "auto",
    json: Json = False,
) -> None:
    """Say what attention the answer in the prompt gets, layer by layer, and whether the first token is a sink."""
    from whit.analysis.attention import measured
    from whit.core.errors import UsageError
    from whit.core.types import Split
    from whit.models.load import load_policy, resolve_model
    from whit.stages._model import renderer_of
    from whit.stages._task import load_task

    if out is not None and out.is_dir():
        raise UsageError(f"--out {out} is a directory, and the pictures are one HTML file. Name a file in it.")
    policy = load_policy(resolve_model(model), device=resolve_device(device))
    renderer = renderer_of(policy, template)
    chosen: Split = split  # type: ignore[assignment]
    found = measured(policy, renderer, load_task(task_spec(task)).take(chosen, items), hide)
    if out is not None:
        _draw(out, model, task, found)
    if json:
        as_json(found)
        return
    say(f"{found['examples']} prompts, {found['with_answer']} with the answer in them once")
    say("layer   on the answer   before it   on the first   entropy, nats")
    for layer, (first, entropy) in enumerate(zip(found["first"], found["entropy"], strict=True)):
        answer, before = (f"{found[name][layer]:.1%}" if name in found else "-" for name in ("answer", "before"))
        say(f"{layer:>5}   {answer:>12}   {before:>9}   {first:>11.1%}   {entropy:>13.2f}")
    for line in _sums(found):
        say(line)
    if "decay" not in found and hide:
        note("the model has no mask token, so nothing was hidden")
    if out is not None:
        say(str(out))


def _sums(found: dict[str, Any]) -> list[str]:
    """What is said of all layers together."""
    lines = []
    if "sink" in found:
        lines.append(f"the first token is a sink of {found['sink']:.1%} of heads (64 tokens, share above 30 %)")
    if "decay" in found:
        lines.append(
            f"hidden tokens receive {-found['decay']:+.1%}, the variance over the others changes by "
            f"{found['variance_gain']:+.1%}"
        )
    return lines


def _draw(target: Path, model: str, task: str, found: dict[str, Any]) -> None:
    from whit.report.pictures import curves, write_pictures

    def by_layer(**shares: str) -> dict[str, list[tuple[int, float]]]:
        return {
            label.replace("_", " "): list(enumerate(found[name])) for label, name in shares.items() if name in found
        }

    figures = [(
        curves(by_layer(first_token="first", before_the_answer="before"), "layer", "share of attention", low=0, high=1),
        f"What the token that begins the answer attends to, a mean over heads and {found['examples']} prompts. "
        + " ".join(f"{line[0].upper()}{line[1:]}." for line in _sums(found)),
    )]  # fmt: skip
    if "answer" in found:
        figures.append((
            curves(by_layer(the_answer="answer"), "layer", "share of attention", low=0),
            f"The share of the answer's own tokens, where it stands in the prompt: {found['with_answer']} of them.",
        ))  # fmt: skip
    figures.append((
        curves(by_layer(entropy="entropy"), "layer", "nats", low=0),
        "Entropy of that attention: low where a head looks at few tokens.",
    ))  # fmt: skip
    write_pictures(target, f"Attention of {model} on {task}", figures)
