"""Four ways to tell a model of examples, side by side: not at all, as texts, as a push, and a push that knows nothing.

In the style of IC-ICL, arXiv:2501.00999: see `spaces/bank.py` for what is specified here and not there.
"""

import json
import time
from collections.abc import Callable, Sequence
from contextlib import nullcontext, suppress
from dataclasses import astuple, dataclass, replace
from functools import partial
from statistics import fmean
from typing import Any, Literal

import numpy as np
import torch

from whit.analysis.elsewhere import PANEL
from whit.analysis.perplexity import bits_per_byte
from whit.core.errors import DataError, PromptTooLongError, UsageError
from whit.core.seeds import stream
from whit.core.types import Ask, Example
from whit.data.render import Renderer
from whit.generation.engine import Engine
from whit.generation.sampler import Sampling
from whit.generation.steering import Steering
from whit.models.encoder import Encoder
from whit.models.load import Policy
from whit.prompting.instruction_first import instruction_first
from whit.prompting.retrieved import retrieved
from whit.prompting.zero_shot import zero_shot
from whit.spaces.bank import Bank, apart, prediction_layers, turned
from whit.spaces.build import Pairs, build_space
from whit.spaces.probe import Told, profile_of
from whit.spaces.retrieval import BM25, Near, Vectors
from whit.spaces.states import last_states, mean_states
from whit.stats.intervals import clustered_mean
from whit.stats.paired import Comparison, compare
from whit.verifiers._judge import judge

Retrieval = Literal["states", "bm25"]
PUSHED = ("ic-icl", "random")


@dataclass(frozen=True)
class Row:
    """One way. accuracy, strict: [estimate, low, high], lenient and in the form asked for; greedy.

    prompt_tokens: a mean. prefill, decode: seconds of all items; retrieval and the compressing are in prefill. Ways that
        push nothing decode by the compiled step where there is one.
    bits_per_byte: of plain text while every state is pushed as for the first item: what a push costs elsewhere.
    right: of each item, by its place. too_long: prompts that the context does not hold, which count as wrong.
    """

    name: str
    accuracy: list[float]
    strict: list[float]
    prompt_tokens: float
    prefill: float
    decode: float
    bits_per_byte: float
    right: list[bool]
    too_long: int = 0


@dataclass(frozen=True)
class Found:
    """Rows, their paired differences, what states tell by layer, the pushed layers, seconds to make space and bank.

    vote: share of the items whose label the nearest examples have, without any model.
    """

    rows: list[Row]
    gains: tuple[Comparison, ...]
    profile: list[Told]
    layers: list[int]
    vote: float
    seconds: float


def compare_in_context(
    policy: Policy, renderer: Renderer, bank: Sequence[Example], items: Sequence[Example], *, shots: int = 5,
    retrieval: Retrieval = "states", encoder: Encoder | None = None, strengths: Sequence[float] = (0.1,),
    gamma: float = 1.0, layers: Sequence[int] = (), pairs: Pairs = "hints", contexts: int = 64, first: bool = False,
    max_new_tokens: int = 16, seed: int = 0, notify: Callable[[str], None] = lambda _: None,
) -> Found:  # fmt: skip
    """The four ways on the same items, greedy.

    bank: training examples, of which the space is built and the nearest are taken. The random way has the same pushes, all
        turned at random alike; each of several strengths has rows of its own.
    encoder: tells which examples are near, in the place of the model's own states. gamma: see `Bank`.
    layers: that are pushed; without any those after the one that a probe reads best.
    first: whether the instruction stands at the start of a prompt, where what all prompts share is computed once, or at
        its end.
    Raises DataError for labels that the bank has not or has too rarely, and for items of one group alone, UsageError for
    a layer that the model has not.
    """
    started = time.perf_counter()
    _check(policy, bank, items, layers)
    plain: Ask = instruction_first if first else zero_shot
    notify("building the space")
    labelled, profile = _known(policy, renderer, bank, plain, pairs, contexts, seed)
    pushed = list(layers) or prediction_layers([told.nats for told in profile])
    labelled = labelled.at(pushed)
    nearest = _nearest(policy, bank, retrieval, encoder)
    seconds = time.perf_counter() - started

    begun = time.perf_counter()
    near = [nearest(item, shots) for item in items]
    looking = time.perf_counter() - begun
    shown = {item.id: [bank[i] for i in one.places] for item, one in zip(items, near, strict=True)}
    vote = fmean(labelled.space.labels[labelled.vote(one)] == item.gold for item, one in zip(items, near, strict=True))
    measure = partial(_measured, policy, renderer, items, max_new_tokens)
    notify("zero-shot")
    rows = [measure("zero-shot", plain, None, 0.0)]
    notify("texts")
    rows.append(measure("texts", partial(retrieved, near=shown, first=first), None, looking))
    for strength in strengths:
        for way in PUSHED:
            name = f"{way} {strength:g}" if len(strengths) > 1 else way
            notify(name)
            begun = time.perf_counter()
            steering = labelled.steering(near, strength=strength, gamma=gamma)
            steering = turned(steering, seed) if way == "random" else steering
            rows.append(measure(name, plain, steering, looking + time.perf_counter() - begun))
    return Found(rows, _gains(rows, items), profile, pushed, vote, seconds)


def _known(
    policy: Policy, renderer: Renderer, bank: Sequence[Example], ask: Ask, pairs: Pairs, contexts: int, seed: int
) -> tuple[Bank, list[Told]]:
    """The bank in a space of all of it; and what a space of its one half tells of the other by layer."""
    build = partial(build_space, policy.decoder, renderer, pairs=pairs, contexts=contexts, seed=seed, ask=ask)
    built, judged = apart(bank, 0.5, stream(seed, "icl-probe"))
    whole, half = build(bank), build(built)
    states_NSD = last_states(policy.decoder, [renderer.prompt(list(ask(e))) for e in bank], whole.layers)
    row = {example.id: number for number, example in enumerate(bank)}
    own = states_NSD[[row[example.id] for example in judged]]
    profile = profile_of(half, own, [half.labels.index(example.gold) for example in judged], seed)
    return Bank(whole, whole.coordinates(states_NSD), tuple(whole.labels.index(e.gold) for e in bank)), profile


def _gains(rows: Sequence[Row], items: Sequence[Example]) -> tuple[Comparison, ...]:
    """Of each way against zero-shot, and of each push against the random one of its strength; simultaneous intervals."""
    pairs = [(row.name, rows[0].name) for row in rows[1:]]
    pairs += [(row.name, row.name.replace(*PUSHED)) for row in rows if row.name.startswith(PUSHED[0])]
    scores = {row.name: np.array([row.right], dtype=np.float64) for row in rows}
    return compare(scores, [item.group for item in items], pairs, fixed=scores)


def _check(policy: Policy, bank: Sequence[Example], items: Sequence[Example], layers: Sequence[int]) -> None:
    if missing := sorted({example.gold for example in items} - {example.gold for example in bank}):
        raise DataError(f"the bank has no example of {', '.join(missing[:3])}. Take a larger bank.")
    if len(groups := {item.group for item in items}) < 2:
        raise DataError(
            f"{len(items)} items of {len(groups)} groups: an interval needs items of two groups or more. Take more items."
        )
    if wrong := [layer for layer in layers if not 0 <= layer < len(policy.decoder.layers())]:
        raise UsageError(f"layers: there is no layer {wrong[0]}. Give some of 0 to {len(policy.decoder.layers()) - 1}.")


def _measured(
    policy: Policy, renderer: Renderer, items: Sequence[Example], max_new_tokens: int, name: str, ask: Ask,
    steering: Steering | None, looked: float,
) -> Row:  # fmt: skip
    """The row of one way, whose examples and push took `looked` seconds. Too long a prompt is a wrong answer."""
    places, prompts = list[int](), list[list[int]]()
    for place, item in enumerate(items):
        with suppress(PromptTooLongError):
            prompts.append(renderer.prompt(list(ask(item))))
            places.append(place)
    if not prompts:
        raise DataError(f"{name}: no prompt fits the model's context. Take fewer --shots, or shorter texts.")
    engine = Engine(policy.decoder, renderer.stop_ids, decode=renderer.decode)
    own = replace(steering, vectors_PSD=steering.vectors_PSD[places]) if steering else None
    run = partial(engine.generate, prompts, steering=own)
    engine.generate(prompts[:1], Sampling(temperature=0.0, max_new_tokens=2), steering=own)  # what first calls cost
    begun = time.perf_counter()
    run(Sampling(temperature=0.0, max_new_tokens=1))
    prefill = time.perf_counter() - begun
    begun = time.perf_counter()
    written = run(Sampling(temperature=0.0, max_new_tokens=max_new_tokens))
    decode = max(0.0, time.perf_counter() - begun - prefill)
    with steering.everywhere(policy.decoder) if steering else nullcontext():
        bits = bits_per_byte(policy, json.loads(PANEL.read_text())["text"])
    right, strict = [False] * len(items), [False] * len(items)
    for place, group in zip(places, written, strict=True):
        verdict = judge(renderer.decode(group[0].ids), items[place])
        right[place], strict[place] = verdict.correct, verdict.strict
    lenient_mean, strict_mean = (
        clustered_mean([float(one) for one in column], [item.group for item in items]) for column in (right, strict)
    )
    return Row(
        name, list(astuple(lenient_mean)), list(astuple(strict_mean)), fmean(map(len, prompts)), looked + prefill, decode,
        bits, right, len(items) - len(places),
    )  # fmt: skip


def _nearest(policy: Policy, bank: Sequence[Example], retrieval: Retrieval, encoder: Encoder | None) -> Any:
    """A function from an item and a number to the nearest examples of the bank."""
    if retrieval == "bm25":
        index = BM25([example.prompt for example in bank])
        return lambda item, count: index.nearest(item.prompt, count)
    layer = len(policy.decoder.layers()) // 2

    def state(examples: Sequence[Example]) -> torch.Tensor:
        if encoder is not None:
            return encoder([e.prompt for e in examples])
        texts = [policy.tokenizer(e.prompt, add_special_tokens=False)["input_ids"] for e in examples]
        return mean_states(policy.decoder, texts, layer)

    # States of a model all point much the same way; what an encoder writes is made to be compared as it is.
    vectors = Vectors(state(bank), centred=encoder is None)

    def nearest(item: Example, count: int) -> Near:
        return vectors.nearest(state([item])[0], count)

    return nearest
