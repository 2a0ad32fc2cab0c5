"""`whit space MODEL DIR --task T`: directions of a task's labels in a model's states, and what they tell of them."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, cast, get_args

import typer

from whit.cli._options import TASK, Device, resolve_device, task_spec
from whit.cli._show import Ticker, note, say, tell_task
from whit.core.types import Example
from whit.core.words import ranges

if TYPE_CHECKING:
    from whit.analysis.information import Seen

MOST_BARS = 12
LEAST = 4  # examples a label


def space(
    model: Annotated[str, typer.Argument(help="A model directory, GGUF file or hub name.")],
    out: Annotated[Path, typer.Argument(help="Directory of the space and its pictures.")],
    task: Annotated[str, typer.Option("--task", help=f"Of labels. {TASK}")],
    pairs: Annotated[str, typer.Option(help="hints or examples: what the space is built from.")] = "hints",
    contexts: Annotated[int, typer.Option(min=2, help="Pairs a label.")] = 64,
    method: Annotated[str, typer.Option(help="pca, mean or mean_plus_pc: a label's direction from its pairs.")] = "pca",
    items: Annotated[
        int, typer.Option(min=8, help="Training examples for space and probe, as many of each label.")
    ] = 400,
    columns: Annotated[str | None, typer.Option(help="prompt=question,answer=label for a file.")] = None,
    before: Annotated[
        Path | None,
        typer.Option(help="The space of the model before a training: its directions are asked too, and drawn beside."),
    ] = None,
    seed: Annotated[int, typer.Option(help="Of the texts that are drawn.")] = 0,
    dtype: Annotated[str, typer.Option(help="float32 or bfloat16")] = "float32",
    template: Annotated[str | None, typer.Option(help='"plain" for models without a chat template.')] = None,
    device: Device = "auto",
) -> None:
    """Build a task space of the training split, say layer by layer what its coordinates tell, and keep it."""
    from whit.analysis.information import OLD_FILE, see_space
    from whit.core.errors import UsageError
    from whit.core.rundir import digest_of
    from whit.models.load import load_policy, resolve_model
    from whit.spaces.build import Pairs
    from whit.spaces.task_space import Method
    from whit.stages._model import renderer_of

    for name, value, known in (("pairs", pairs, get_args(Pairs)), ("method", method, get_args(Method))):
        if value not in known:
            raise UsageError(f"--{name} {value}: give {' or '.join(known)}.")
    if out.exists() and not out.is_dir():
        raise UsageError(f"{out} is a file, and a space is kept in a directory. Name another.")
    if before is not None and before.resolve() == out.resolve():
        raise UsageError(f"--before {before}: this would be written over. Keep the space of now in another directory.")
    chosen = _examples(task_spec(task, columns), items, seed)
    path = resolve_model(model)
    policy = load_policy(path, dtype=dtype, device=resolve_device(device))
    ticker = Ticker()
    seen = see_space(
        policy, renderer_of(policy, template), chosen, pairs=cast(Pairs, pairs), method=cast(Method, method),
        contexts=contexts, seed=seed, before=before, template=template, notify=ticker.show,
    )  # fmt: skip
    seen.space.save(out, model=digest_of(path), texts=seen.built, **seen.made)
    seen.profile.save(out)
    if seen.in_earlier:
        seen.in_earlier.save(out, OLD_FILE)
    _draw(out / "space.html", f"The space of {task} in {model}", seen)
    ticker.clear()
    _tell(seen)
    say(str(out))


def _examples(spec: Any, items: int, seed: int) -> list[Example]:
    """Examples of train, as many of each label. Raises UsageError for too few, before a model is loaded."""
    from whit.core.errors import UsageError
    from whit.core.seeds import stream
    from whit.spaces.bank import balanced
    from whit.spaces.build import labels_of
    from whit.stages._task import load_task

    tell_task(spec)
    train = load_task(spec).take("train")
    num_labels = len(labels_of(train))
    if items < LEAST * num_labels:
        raise UsageError(
            f"--items {items}: the task has {num_labels} labels, and each takes {LEAST} examples, two to build the space "
            f"and two to fit and judge the probe. Give {LEAST * num_labels} or more."
        )
    return balanced(train, items, stream(seed, "space"))


def _draw(target: Path, title: str, seen: "Seen") -> None:
    from whit.report.pictures import curves, scatter, write_pictures

    profiles = {"now": seen.profile}
    if seen.earlier and seen.in_earlier:
        profiles |= {"before": seen.earlier, "now, directions of before": seen.in_earlier}
    nats = {name: list(zip(one.layers, one.nats, strict=True)) for name, one in profiles.items()}
    kept = {name: list(zip(one.layers, one.kept, strict=True)) for name, one in profiles.items()}
    layer = seen.profile.layers[seen.profile.best]
    write_pictures(target, title, [
        (curves(nats, "after layer", "nats", low=0),
         "What coordinates in the space tell of the label: a lower bound of their mutual information, on held-out texts."),
        (curves(kept, "after layer", "share", low=0),
         "How much of a state, less the mean over prompts, lies in the space: a mean share of its squared length."),
        (scatter(seen.points, "first component", "second component"),
         f"Coordinates of {len(seen.profile.texts)} texts after layer {layer}, on their two principal components."),
    ])  # fmt: skip


def _tell(seen: "Seen") -> None:
    own, judged = seen.profile, len(seen.profile.texts)
    asked = f"{judged // 2} to fit, {judged - judged // 2} to judge"
    say(f"{len(seen.space.labels)} labels, built of {len(seen.built)} texts; probe: {asked}")
    if own.nats[own.best] > 0:
        say(
            f"the {min(MOST_BARS, len(own.nats))} layers of {len(own.nats)} that tell most, the best of them by luck too:"
        )
    else:
        say("a probe reads nothing of the label from the coordinates after any layer: more")
        say(f"--items or texts may tell. The first {min(MOST_BARS, len(own.nats))} of {len(own.nats)} layers:")
    profiles = [own, seen.earlier, seen.in_earlier] if seen.earlier and seen.in_earlier else [own]
    if len(profiles) > 1:
        say(f"{'now':>32}{'before':>22}{'directions of before':>22}")
    say("after layer" + " ".join(["   nats  right   kept"] * len(profiles)))
    for place in sorted(range(len(own.nats)), key=lambda place: own.nats[place], reverse=True)[:MOST_BARS]:
        cells = [f"{p.nats[place]:>7.2f}{p.accuracy[place]:>7.0%}{p.kept[place]:>7.0%}" for p in profiles]
        say(f"{own.layers[place]:>11}" + " ".join(cells))
    say(f"right: by the probe, {1 / len(seen.space.labels):.0%} by chance; kept: of a state's squared length")
    bases = zip(seen.space.layers, seen.space.bases, strict=True)
    if lines := [layer for layer, basis_RD in bases if len(basis_RD) == 1]:
        note(f"after layers {ranges(lines)} all labels lie on one line: a cosine is 1 or -1 there, whatever the state")
