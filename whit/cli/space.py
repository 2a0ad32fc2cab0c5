"""`whit space MODEL DIR --task T`: directions of a task's labels in a model's states, and what they tell of them."""

from pathlib import Path
from typing import Annotated

import typer

from whit.cli._options import Device, resolve_device
from whit.cli._show import Ticker, say

MOST_BARS = 12


def space(
    model: Annotated[str, typer.Argument(help="A model directory, GGUF file or hub name.")],
    out: Annotated[Path, typer.Argument(help="Directory of the space and its pictures.")],
    task: Annotated[str, typer.Option("--task", help="A task of labels: a name, or a CSV / JSONL / Parquet file.")],
    pairs: Annotated[str, typer.Option(help="hints or examples: what the space is built from.")] = "hints",
    contexts: Annotated[int, typer.Option(min=2, help="Pairs a label.")] = 64,
    items: Annotated[
        int, typer.Option(min=8, help="Training examples for space and probe, as many of each label.")
    ] = 400,
    seed: Annotated[int, typer.Option(help="Of the texts that are drawn.")] = 0,
    dtype: Annotated[str, typer.Option(help="float32 or bfloat16")] = "float32",
    template: Annotated[str | None, typer.Option(help='"plain" for models without a chat template.')] = None,
    device: Device = "auto",
) -> None:
    """Build a task space of the training split, say layer by layer what its coordinates tell, and keep it."""
    from whit.core.errors import UsageError
    from whit.core.seeds import stream
    from whit.models.load import load_policy, resolve_model
    from whit.prompting.zero_shot import zero_shot
    from whit.report.pictures import curves, scatter, write_pictures
    from whit.spaces.bank import apart, balanced
    from whit.spaces.build import build_space
    from whit.spaces.probe import plane, profile_of
    from whit.spaces.states import last_states
    from whit.stages._model import renderer_of
    from whit.stages._task import load_task

    if pairs not in ("hints", "examples"):
        raise UsageError(f"--pairs {pairs}: give hints or examples.")
    policy = load_policy(resolve_model(model), dtype=dtype, device=resolve_device(device))
    renderer = renderer_of(policy, template)
    train = load_task(task).take("train")
    chosen = balanced(train, items, stream(seed, "space"))
    ticker = Ticker()
    ticker.show("building the space")
    built, judged = apart(chosen, 0.5, stream(seed, "space-probe"))
    found = build_space(policy.decoder, renderer, built, pairs=pairs, contexts=contexts, seed=seed)  # type: ignore[arg-type]
    ticker.show("asking the probe")
    states_NSD = last_states(policy.decoder, [renderer.prompt(zero_shot(e)) for e in judged], found.layers)
    gold = [found.labels.index(example.gold) for example in judged]
    told = profile_of(found, states_NSD, gold, seed)
    best = max(range(len(told)), key=lambda layer: told[layer].nats)
    found.save(out)
    points = plane(found.coordinates(states_NSD)[:, best]).tolist()
    by_label: dict[str, list[tuple[float, float]]] = {}
    for (a, b), label in zip(points, gold, strict=True):
        by_label.setdefault(found.labels[label], []).append((a, b))
    write_pictures(out / "space.html", f"The space of {task} in {model}", [
        (curves({"coordinates": [(layer, one.nats) for layer, one in enumerate(told)]}, "after layer", "nats", low=0),
         "What coordinates in the space tell of the label: a lower bound of their mutual information, on held-out texts."),
        (scatter(by_label, "first component", "second component"),
         f"Coordinates of {len(judged)} texts after layer {best}, on their two principal components."),
    ])  # fmt: skip
    ticker.clear()
    say(f"{len(found.labels)} labels, {len(found.layers)} layers, built of {len(built)} texts, judged on {len(judged)}")
    say("after layer     nats   probe right")
    for layer in sorted(range(len(told)), key=lambda layer: -told[layer].nats)[:MOST_BARS]:
        say(f"{found.layers[layer]:>11}  {told[layer].nats:>7.2f}   {100 * told[layer].accuracy:>9.0f} %")
    say(str(out))
