"""`whit icl MODEL --task T`: examples as texts in the prompt, as a push on hidden states, or not at all."""

import re
from collections.abc import Sequence
from dataclasses import asdict, astuple
from typing import TYPE_CHECKING, Annotated, Any, cast, get_args

import typer

from whit.cli._options import TASK, Device, Json, resolve_device, task_spec
from whit.cli._show import Ticker, as_json, note, say, tell_task
from whit.core.types import Example, Interval, Split
from whit.core.words import duration, plural, ranges

if TYPE_CHECKING:
    from whit.analysis.in_context import Found

LEAST = 3  # examples a label


def icl(
    model: Annotated[str, typer.Argument(help="A model directory, GGUF file or hub name.")],
    task: Annotated[str, typer.Option("--task", help=f"Of labels. {TASK}")],
    split: Annotated[str, typer.Option(help="dev, test or ood; the bank is of train.")] = "dev",
    items: Annotated[int, typer.Option(min=1, help="Items, drawn at random.")] = 200,
    bank: Annotated[int, typer.Option(min=4, help="Training examples, drawn at random, as many of each label.")] = 200,
    shots: Annotated[int, typer.Option(min=1, help="Nearest examples that are shown or compressed.")] = 5,
    strength: Annotated[
        list[float],
        typer.Option(min=0, help="Of the push, in lengths of a state, all layers together; may come again."),
    ] = [0.1],  # noqa: B006
    gamma: Annotated[float, typer.Option(min=0, help="Weight of the examples' labels beside their states.")] = 1.0,
    layers: Annotated[
        str | None, typer.Option(help="That are pushed, such as 8 or 8-15; default by the probe.")
    ] = None,
    pairs: Annotated[str, typer.Option(help="hints or examples: what the space is built from.")] = "hints",
    contexts: Annotated[int, typer.Option(min=2, help="Pairs a label.")] = 64,
    retrieval: Annotated[str, typer.Option(help="states (of the model) or bm25.")] = "states",
    columns: Annotated[str | None, typer.Option(help="prompt=question,answer=label for a file.")] = None,
    first: Annotated[bool, typer.Option(help="The instruction before the text, where prompts share it.")] = False,
    encoder: Annotated[
        str | None, typer.Option(help="A sentence encoder for retrieval: a directory or hub name.")
    ] = None,
    max_new_tokens: Annotated[int, typer.Option(min=1, help="Where completions are cut off.")] = 16,
    seed: Annotated[int, typer.Option(help="Of the bank and the space.")] = 0,
    dtype: Annotated[str, typer.Option(help="float32 or bfloat16")] = "float32",
    template: Annotated[str | None, typer.Option(help='"plain" for models without a chat template.')] = None,
    device: Device = "auto",
    json: Json = False,
) -> None:
    """Compare zero-shot, retrieved texts, IC-ICL and a random push: accuracy, prompt tokens, seconds."""
    from whit.analysis.in_context import Retrieval, compare_in_context
    from whit.core.errors import UsageError
    from whit.models.encoder import Encoder
    from whit.models.load import load_policy, resolve_encoder, resolve_model
    from whit.spaces.build import Pairs
    from whit.stages._model import renderer_of

    for name, value, known in (("pairs", pairs, get_args(Pairs)), ("retrieval", retrieval, get_args(Retrieval))):
        if value not in known:
            raise UsageError(f"--{name} {value}: give {' or '.join(known)}.")
    if encoder is not None and retrieval != "states":
        raise UsageError(
            f"--encoder {encoder} and --retrieval {retrieval}: two ways to tell what is near. Leave one out."
        )
    if split not in ("dev", "test", "ood"):
        raise UsageError(
            f"--split {split}: give dev, test or ood. The bank is of train, where each item would find itself."
        )
    chosen_layers = _span(layers)
    own, asked = _bank_and_items(task_spec(task, columns), split, bank, items, seed)
    policy = load_policy(resolve_model(model), dtype=dtype, device=resolve_device(device))
    renderer = renderer_of(policy, template)
    ticker = Ticker()
    own_encoder = None if encoder is None else Encoder(resolve_encoder(encoder), resolve_device(device))
    found = compare_in_context(
        policy, renderer, own, asked, shots=shots, retrieval=cast(Retrieval, retrieval), encoder=own_encoder,
        strengths=strength, gamma=gamma, layers=chosen_layers, pairs=cast(Pairs, pairs), contexts=contexts, first=first,
        max_new_tokens=max_new_tokens, seed=seed, notify=ticker.show,
    )  # fmt: skip
    ticker.clear()
    if json:
        as_json(
            {**vars(found), "rows": [vars(row) for row in found.rows], "gains": [asdict(gain) for gain in found.gains]}
        )
        return
    num_labels = len({example.gold for example in own})
    say(f"{len(asked)} items, {len(own)} examples in the bank, {num_labels} labels")
    _tell(found)


def _span(layers: str | None) -> Sequence[int]:
    """The layers of "8" or "8-15"; none without any. Raises UsageError for another form."""
    from whit.core.errors import UsageError

    if layers is None:
        return ()
    span = re.fullmatch(r"(\d+)(?:-(\d+))?", layers)
    if span is None or int(span[1]) > int(span[2] or span[1]):
        raise UsageError(f"--layers {layers}: give one layer, or the first and the last, such as 8-15.")
    return range(int(span[1]), int(span[2] or span[1]) + 1)


def _bank_and_items(spec: Any, split: str, bank: int, items: int, seed: int) -> tuple[list[Example], list[Example]]:
    """Examples of train, as many of each label, and items of the split whose labels they have. Says what is left out."""
    from whit.core.errors import UsageError
    from whit.core.seeds import stream
    from whit.spaces.bank import balanced
    from whit.spaces.build import labels_of
    from whit.stages._task import load_task

    tell_task(spec)
    data, chosen = load_task(spec), cast(Split, split)
    train, asked = data.take("train"), data.take(chosen)
    if bank < LEAST * (num_labels := len(labels_of(train))):
        raise UsageError(
            f"--bank {bank}: the task has {num_labels} labels, and each takes {LEAST} examples, two to build the space "
            f"and one to ask the probe. Give {LEAST * num_labels} or more."
        )
    own = balanced(train, bank, stream(seed, "icl"))
    known = {example.gold for example in own}
    if without := sum(example.gold not in known for example in asked):
        note(f"{plural(without, 'item')} of labels that the bank has not left out: give a larger --bank")
    asked = [example for example in asked if example.gold in known]
    if len(asked) < items:
        note(f"--items {items}: the split '{split}' has {len(asked)}; all of them are asked")
    return own, stream(0, "items").sample(asked, min(items, len(asked)))


def _tell(found: "Found") -> None:
    say("                accuracy, lenient   strict   prompt  prefill s  decode s  text")
    for row in found.rows:
        strict = f"{100 * row.strict[0]:.1f} %"
        say(f"{row.name:<12} {Interval(*row.accuracy).percent():>20}  {strict:>7}  {row.prompt_tokens:>7.0f}  "
            f"{row.prefill:>9.1f}  {row.decode:>8.1f}  {row.bits_per_byte:>4.2f}")  # fmt: skip
    for row in found.rows:
        if row.too_long:
            note(f"{row.name}: {plural(row.too_long, 'prompt')} longer than the context, counted as wrong")
    say("prompt: its tokens; text: bits a byte of plain text while every state is pushed")
    say("paired by item, in points, all intervals at once:")
    for gain in found.gains:
        estimate, low, high = (100 * value for value in astuple(gain.difference))
        say(f"  {gain.a:<12} less {gain.b:<12} {estimate:>+6.1f} [{low:+.1f}, {high:+.1f}]")
    say(f"the labels of the nearest examples alone: {100 * found.vote:.1f} % right")
    best = max(range(len(found.profile)), key=lambda layer: found.profile[layer])
    nats, accuracy = found.profile[best]
    if nats > 0:
        say(
            f"coordinates tell most of the label after layer {best}: {nats:.2f} nats, {100 * accuracy:.0f} % by a probe"
        )
    else:
        say("a probe reads nothing of the label after any layer: give a larger --bank")
    say(f"pushed after layers {ranges(found.layers)}; space and bank took {duration(found.seconds)}")
