"""`whit icl MODEL --task T`: examples as texts in the prompt, as a push on hidden states, or not at all."""

import re
from typing import Annotated, Literal

import typer

from whit.cli._options import Device, Json, resolve_device
from whit.cli._show import Ticker, as_json, note, say
from whit.core.words import duration


def icl(
    model: Annotated[str, typer.Argument(help="A model directory, GGUF file or hub name.")],
    task: Annotated[str, typer.Option("--task", help="A task of labels: a name, or a CSV / JSONL / Parquet file.")],
    split: Annotated[str, typer.Option(help="dev or test; the bank is of train.")] = "dev",
    items: Annotated[int, typer.Option(min=1, help="Items, drawn at random.")] = 200,
    bank: Annotated[int, typer.Option(min=4, help="Training examples, drawn at random, as many of each label.")] = 200,
    shots: Annotated[int, typer.Option(min=1, help="Nearest examples that are shown or compressed.")] = 5,
    strength: Annotated[
        list[float],
        typer.Option(min=0, help="Of the push, in lengths of a state, all layers together; may come again."),
    ] = [0.1],  # noqa: B006
    gamma: Annotated[float, typer.Option(min=0, help="Weight of the examples' labels beside their states.")] = 1.0,
    layers: Annotated[str | None, typer.Option(help="That are pushed, such as 8-15; default by the probe.")] = None,
    pairs: Annotated[str, typer.Option(help="hints or examples: what the space is built from.")] = "hints",
    contexts: Annotated[int, typer.Option(min=2, help="Pairs a label.")] = 64,
    retrieval: Annotated[str, typer.Option(help="states (of the model) or bm25.")] = "states",
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
    from whit.analysis.in_context import compare_in_context
    from whit.core.errors import UsageError
    from whit.core.seeds import stream
    from whit.core.types import Interval, Split
    from whit.models.encoder import Encoder
    from whit.models.load import load_policy, resolve_encoder, resolve_model
    from whit.spaces.bank import balanced
    from whit.stages._model import renderer_of
    from whit.stages._task import load_task

    for name, value, known in (("pairs", pairs, ("hints", "examples")), ("retrieval", retrieval, ("states", "bm25"))):
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
    policy = load_policy(resolve_model(model), dtype=dtype, device=resolve_device(device))
    renderer = renderer_of(policy, template)
    chosen: Split = split  # type: ignore[assignment]
    data, rng = load_task(task), stream(seed, "icl")
    train, asked = data.take("train"), data.take(chosen)
    own = balanced(train, bank, rng)
    known_labels = {example.gold for example in own}
    without = sum(example.gold not in known_labels for example in asked)
    asked = [example for example in asked if example.gold in known_labels]
    if without:
        note(f"{without:,} items have labels that the bank has not, and are left out: give a larger --bank")
    span = re.fullmatch(r"(\d+)-(\d+)", layers or "0-0")
    if span is None or int(span[1]) > int(span[2]):
        raise UsageError(f"--layers {layers}: give the first and the last, such as 8-15.")
    ticker = Ticker()
    choices: tuple[Literal["hints", "examples"], Literal["states", "bm25"]] = (pairs, retrieval)  # type: ignore[assignment]
    own_encoder = None if encoder is None else Encoder(resolve_encoder(encoder), resolve_device(device))
    found = compare_in_context(
        policy, renderer, own, stream(0, "items").sample(asked, min(items, len(asked))), shots=shots, retrieval=choices[1],
        encoder=own_encoder, strengths=strength, gamma=gamma,
        layers=range(int(span[1]), int(span[2]) + 1) if layers else (), pairs=choices[0], contexts=contexts, first=first,
        max_new_tokens=max_new_tokens, seed=seed, notify=ticker.show,
    )  # fmt: skip
    ticker.clear()
    if json:
        as_json({**vars(found), "rows": [vars(row) for row in found.rows]})
        return
    say(f"{len(found.rows[0].right)} items, {len(own)} examples in the bank, {len(known_labels)} labels")
    say("                accuracy, lenient   strict  prompt tokens  prefill s  decode s  text")
    for row in found.rows:
        strict = f"{100 * row.strict[0]:.1f} %"
        say(f"{row.name:<12}  {Interval(*row.accuracy).percent():>19}  {strict:>7}  {row.prompt_tokens:>13.0f}  "
            f"{row.prefill:>9.1f}  {row.decode:>8.1f}  {row.bits_per_byte:>4.2f}")  # fmt: skip
    say(f"the labels of the nearest examples alone: {100 * found.vote:.1f} % right")
    best = max(range(len(found.profile)), key=lambda layer: found.profile[layer].nats)
    nats, accuracy = found.profile[best]
    say(f"coordinates tell most of the label after layer {best}: {nats:.2f} nats, {100 * accuracy:.0f} % by a probe")
    say("text: bits per byte of plain text while every state is pushed so")
    say(f"pushed after layers {', '.join(map(str, found.layers))}; space and bank took {duration(found.seconds)}")
