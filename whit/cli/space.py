"""`whit space MODEL DIR --task T`: directions of a task's labels in a model's states, and what they tell of them."""

from pathlib import Path
from typing import Annotated

import typer

from whit.cli._options import TASK, Device, resolve_device, task_spec
from whit.cli._show import Ticker, note, say, tell_task
from whit.core.words import ranges

MOST_BARS = 12
LEAST = 4  # examples a label


def space(
    model: Annotated[str, typer.Argument(help="A model directory, GGUF file or hub name.")],
    out: Annotated[Path, typer.Argument(help="Directory of the space and its pictures.")],
    task: Annotated[str, typer.Option("--task", help=f"Of labels. {TASK}")],
    pairs: Annotated[str, typer.Option(help="hints or examples: what the space is built from.")] = "hints",
    contexts: Annotated[int, typer.Option(min=2, help="Pairs a label.")] = 64,
    items: Annotated[
        int, typer.Option(min=8, help="Training examples for space and probe, as many of each label.")
    ] = 400,
    columns: Annotated[str | None, typer.Option(help="prompt=question,answer=label for a file.")] = None,
    seed: Annotated[int, typer.Option(help="Of the texts that are drawn.")] = 0,
    dtype: Annotated[str, typer.Option(help="float32 or bfloat16")] = "float32",
    template: Annotated[str | None, typer.Option(help='"plain" for models without a chat template.')] = None,
    device: Device = "auto",
) -> None:
    """Build a task space of the training split, say layer by layer what its coordinates tell, and keep it."""
    from whit.core.errors import UsageError
    from whit.core.rundir import digest_of
    from whit.core.seeds import stream
    from whit.models.load import load_policy, resolve_model
    from whit.prompting.zero_shot import zero_shot
    from whit.report.pictures import curves, scatter, write_pictures
    from whit.spaces.bank import apart, balanced
    from whit.spaces.build import build_space, labels_of
    from whit.spaces.probe import plane, profile_of
    from whit.spaces.states import last_states
    from whit.stages._model import renderer_of
    from whit.stages._task import load_task

    if pairs not in ("hints", "examples"):
        raise UsageError(f"--pairs {pairs}: give hints or examples.")
    if out.exists() and not out.is_dir():
        raise UsageError(f"{out} is a file, and a space is kept in a directory. Name another.")
    spec = task_spec(task, columns)
    tell_task(spec)
    train = load_task(spec).take("train")
    num_labels = len(labels_of(train))
    if items < LEAST * num_labels:
        raise UsageError(
            f"--items {items}: the task has {num_labels} labels, and each takes {LEAST} examples, two to build the space "
            f"and two to fit and judge the probe. Give {LEAST * num_labels} or more."
        )
    path = resolve_model(model)
    policy = load_policy(path, dtype=dtype, device=resolve_device(device))
    renderer = renderer_of(policy, template)
    chosen = balanced(train, items, stream(seed, "space"))
    ticker = Ticker()
    ticker.show("building the space")
    built, judged = apart(chosen, 0.5, stream(seed, "space-probe"))
    found = build_space(policy.decoder, renderer, built, pairs=pairs, contexts=contexts, seed=seed)  # type: ignore[arg-type]
    ticker.show("asking the probe")
    states_NSD = last_states(policy.decoder, [renderer.prompt(zero_shot(e)) for e in judged], found.layers)
    gold = [found.labels.index(example.gold) for example in judged]
    told = profile_of(found, states_NSD, gold, seed)
    best = max(range(len(told)), key=lambda layer: told[layer])
    found.save(out, model=digest_of(path))
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
    fitted = len(judged) // 2
    say(
        f"{len(found.labels)} labels, built of {len(built)} texts; probe: {fitted} to fit, {len(judged) - fitted} to judge"
    )
    if told[best].nats > 0:
        say(f"the {min(MOST_BARS, len(told))} layers of {len(told)} that tell most, the best of them by luck too:")
    else:
        say("the probe reads nothing of the label after any layer: more --items may tell")
    say("after layer     nats   probe right")
    for layer in sorted(range(len(told)), key=lambda layer: told[layer], reverse=True)[:MOST_BARS]:
        say(f"{found.layers[layer]:>11}  {told[layer].nats:>7.2f}   {100 * told[layer].accuracy:>9.0f} %")
    if lines := [layer for layer, basis_RD in zip(found.layers, found.bases, strict=True) if len(basis_RD) == 1]:
        note(f"after layers {ranges(lines)} all labels lie on one line: a cosine is 1 or -1 there, whatever the state")
    say(str(out))
