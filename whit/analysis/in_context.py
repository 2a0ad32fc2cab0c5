"""Four ways to tell a model of examples, side by side: not at all, as texts, as a push, and a push that knows nothing.

In the style of IC-ICL, arXiv:2501.00999: see `spaces/bank.py` for what is specified here and not there.
"""

import json
import time
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from functools import partial
from statistics import fmean
from typing import Any, Literal

import numpy as np
import torch

from whit.analysis.elsewhere import PANEL
from whit.analysis.perplexity import bits_per_byte
from whit.core.errors import DataError, UsageError
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
from whit.spaces.bank import Bank, apart, prediction_layers
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

    prompt_tokens: a mean. prefill, decode: seconds of all items; retrieval and the compressing are in prefill.
    bits_per_byte: of plain text while every state is pushed as for the first item: what a push costs elsewhere.
    right: of each item, by its place.
    """

    name: str
    accuracy: list[float]
    strict: list[float]
    prompt_tokens: float
    prefill: float
    decode: float
    bits_per_byte: float
    right: list[bool]


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

    bank: training examples, of which the space is built and the nearest are taken. The random way has a space of random
        directions at the same layers and strength; each of several strengths has rows of its own.
    encoder: tells which examples are near, in the place of the model's own states. gamma: see `Bank`.
    layers: that are pushed; without any those after the one that a probe reads best.
    first: whether the instruction stands at the start of a prompt, where what all prompts share is computed once, or at
        its end.
    Raises DataError for labels that the bank has not and for items of one group alone, UsageError for a layer that the
    model has not.
    """
    started = time.perf_counter()
    _check(policy, bank, items, layers)
    notify("building the space")
    plain: Ask = instruction_first if first else zero_shot
    whole = build_space(policy.decoder, renderer, bank, pairs=pairs, contexts=contexts, seed=seed, ask=plain)
    states_NSD = last_states(policy.decoder, [renderer.prompt(list(plain(e))) for e in bank], whole.layers)
    gold = [whole.labels.index(example.gold) for example in bank]
    built, judged = apart(bank, 0.5, stream(seed, "icl-probe"))
    half = build_space(policy.decoder, renderer, built, pairs=pairs, contexts=contexts, seed=seed, ask=plain)
    place = {example.id: number for number, example in enumerate(bank)}
    kept = [place[example.id] for example in judged]
    profile = profile_of(half, states_NSD[kept], [half.labels.index(e.gold) for e in judged], seed)
    pushed = list(layers) or prediction_layers([told.nats for told in profile])
    near = _nearest(policy, bank, retrieval, encoder)
    seconds = time.perf_counter() - started
    labelled = Bank(whole, whole.coordinates(states_NSD), tuple(gold))
    vote = fmean(whole.labels[labelled.vote(near(item, shots))] == item.gold for item in items)
    texts = json.loads(PANEL.read_text())["text"]
    rows = []
    ways = [("zero-shot", 0.0), ("texts", 0.0), *((name, strength) for strength in strengths for name in PUSHED)]
    for way, strength in ways:
        name = f"{way} {strength:g}" if way in PUSHED and len(strengths) > 1 else way
        notify(name)
        begun = time.perf_counter()
        found = [near(item, shots) for item in items] if way != "zero-shot" else []
        by_id = {item.id: [bank[i] for i in one.places] for item, one in zip(items, found, strict=False)}
        ask: Ask = partial(retrieved, near=by_id, first=first) if way == "texts" else plain
        steering = None
        if way in PUSHED:
            space = whole.at(pushed) if way == "ic-icl" else whole.at(pushed).random(seed)
            coordinates = space.coordinates(states_NSD[:, pushed])
            steering = Bank(space, coordinates, tuple(gold)).steering(found, strength=strength, gamma=gamma)
        prompts = [renderer.prompt(list(ask(item))) for item in items]
        looked = time.perf_counter() - begun
        rows.append(_measured(policy, renderer, name, items, prompts, steering, texts, looked, max_new_tokens))
    return Found(rows, _gains(rows, items), profile, pushed, vote, seconds)


def _gains(rows: Sequence[Row], items: Sequence[Example]) -> tuple[Comparison, ...]:
    """Of each way against zero-shot, and of each push against the random one of its strength; simultaneous intervals."""
    pairs = [(row.name, rows[0].name) for row in rows[1:]]
    pairs += [(row.name, row.name.replace(*PUSHED)) for row in rows if row.name.startswith(PUSHED[0])]
    scores = {row.name: np.array([row.right], dtype=np.float64) for row in rows}
    return compare(scores, [item.group for item in items], pairs, fixed=scores)


def _check(policy: Policy, bank: Sequence[Example], items: Sequence[Example], layers: Sequence[int]) -> None:
    if missing := sorted({example.gold for example in items} - {example.gold for example in bank}):
        raise DataError(f"the bank has no example of {', '.join(missing[:3])}. Take a larger bank.")
    groups = {item.group for item in items}
    if not items or len(groups) < min(2, len(items)):
        raise DataError(
            f"{len(items)} items of {len(groups)} groups: an interval needs items of two groups or more. Take more items."
        )
    if wrong := [layer for layer in layers if not 0 <= layer < len(policy.decoder.layers())]:
        raise UsageError(f"layers: there is no layer {wrong[0]}. Give some of 0 to {len(policy.decoder.layers()) - 1}.")


def _measured(
    policy: Policy, renderer: Renderer, name: str, items: Sequence[Example], prompts: Sequence[list[int]],
    steering: Steering | None, texts: Sequence[str], looked: float, max_new_tokens: int,
) -> Row:  # fmt: skip
    """The row of one way, whose prompts and push took `looked` seconds to make."""
    engine = Engine(policy.decoder, renderer.stop_ids, decode=renderer.decode)
    run = partial(engine.generate, prompts, steering=steering)
    begun = time.perf_counter()
    run(Sampling(temperature=0.0, max_new_tokens=1))
    prefill = time.perf_counter() - begun
    begun = time.perf_counter()
    written = run(Sampling(temperature=0.0, max_new_tokens=max_new_tokens))
    decode = max(0.0, time.perf_counter() - begun - prefill)
    with steering.everywhere(policy.decoder) if steering else nullcontext():
        bits = bits_per_byte(policy, texts)
    verdicts = [judge(renderer.decode(group[0].ids), item) for group, item in zip(written, items, strict=True)]
    groups = [item.group for item in items]
    accuracy, strict = (
        clustered_mean([float(right) for right in column], groups)
        for column in ([v.correct for v in verdicts], [v.strict for v in verdicts])
    )
    return Row(
        name, [accuracy.estimate, accuracy.low, accuracy.high], [strict.estimate, strict.low, strict.high],
        fmean(map(len, prompts)), looked + prefill, decode, bits, [v.correct for v in verdicts],
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

    vectors = Vectors(state(bank))

    def nearest(item: Example, count: int) -> Near:
        return vectors.nearest(state([item])[0], count)

    return nearest
