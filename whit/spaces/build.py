"""The task space of a model, built from training examples: pairs of prompts that differ in what is said of a label."""

from collections.abc import Sequence
from dataclasses import replace
from random import Random
from typing import Literal

import torch

from whit.core.errors import DataError
from whit.core.ledger import Ledger
from whit.core.seeds import stream
from whit.core.types import Ask, Example
from whit.core.words import plural
from whit.data.render import Renderer
from whit.models.causal import CausalLM
from whit.prompting.zero_shot import zero_shot
from whit.spaces.states import last_states
from whit.spaces.task_space import ENERGY, Method, TaskSpace

Pairs = Literal["hints", "examples"]
FOR, AGAINST = "This is certainly about {label}.", "This is certainly not about {label}."
LEAST_CONTEXTS = 2


def build_space(
    decoder: CausalLM, renderer: Renderer, examples: Sequence[Example], *, pairs: Pairs = "hints", contexts: int = 64,
    layers: Sequence[int] | None = None, method: Method = "pca", energy: float = ENERGY, seed: int = 0,
    ask: Ask = zero_shot, ledger: Ledger | None = None,
) -> TaskSpace:  # fmt: skip
    """The space of the labels that examples have as gold answers, in the order of their choices.

    examples: of the training split alone: what a space has seen must not be tested on.
    pairs: "hints" compares a text with a sentence for and one against the label beside it, for texts of any label, as the
        paper's summaries tell. What all labels have in common, being for or against anything, is taken away (ours: without
        that one direction held 95 % of the energy on SmolLM2-135M). "examples" compares texts that have the label with
        texts that have another (ours). The mean is of all the plain prompts that are read.
    contexts: pairs a label; the same texts serve all labels for "hints". layers: after which; None takes all.
    ask: how an example is asked, without a hint. ledger: is charged for the passes.
    Raises DataError as `labels_of`, and for a label with fewer than two texts where "examples" needs them.
    """
    chosen = list(range(len(decoder.layers()))) if layers is None else list(layers)
    labels = labels_of(examples)
    rng = stream(seed, "task-space")
    if pairs == "hints":
        texts = rng.sample(list(examples), min(contexts, len(examples)))
        mean_SD = last_states(decoder, [renderer.prompt(list(ask(e))) for e in texts], chosen, ledger).mean(0)
        differences = []
        for label in labels:
            sides = [[renderer.prompt(list(ask(_hinted(e, side, label)))) for e in texts] for side in (FOR, AGAINST)]
            for_MSD, against_MSD = (last_states(decoder, side, chosen, ledger) for side in sides)
            differences.append(for_MSD - against_MSD)
        stacked = torch.stack(differences)
        stacked = stacked - stacked.mean(0)
    else:
        drawn = _paired(examples, labels, contexts, rng)
        used = sorted({place for own, others in drawn for place in (*own, *others)})
        states_USD = last_states(decoder, [renderer.prompt(list(ask(examples[i]))) for i in used], chosen, ledger)
        mean_SD = states_USD.mean(0)
        row = {place: number for number, place in enumerate(used)}
        stacked = torch.stack([
            states_USD[[row[i] for i in own]] - states_USD[[row[i] for i in others]] for own, others in drawn
        ])  # fmt: skip
    return TaskSpace.of(labels, chosen, stacked, mean_SD, method, energy)


def labels_of(examples: Sequence[Example]) -> list[str]:
    """The labels that examples have as gold answers, in the order of their choices.

    Raises DataError where they are no labels: fewer than two, of different choices, or nearly one an example.
    """
    found = {example.gold for example in examples}
    if odd := [example for example in examples if example.gold not in example.choices]:
        raise DataError(
            f"the answer '{odd[0].gold}' of {odd[0].id} is none of the labels that the example names: a task space has a "
            "direction for each label. Take a task of labels, whose verifier is choice."
        )
    labels = [label for label in (examples[0].choices if examples else ()) if label in found]
    if len(labels) < 2 or len(labels) < len(found):
        raise DataError(
            f"a task space needs two labels or more, the same for every example, and the examples have {sorted(found)}. "
            "Take a task of labels."
        )
    if LEAST_CONTEXTS * len(labels) > len(examples):
        raise DataError(
            f"{len(labels):,} different answers in {len(examples):,} examples: a space has a direction for each, of "
            f"{LEAST_CONTEXTS} texts or more. Take a task of labels, or more examples."
        )
    return labels


def num_prompts(examples: Sequence[Example], pairs: Pairs, contexts: int) -> int:
    """How many prompts a model reads to build a space, at most. Raises DataError as `labels_of`."""
    own, num_labels = min(contexts, len(examples)), len(labels_of(examples))
    return own + 2 * own * num_labels if pairs == "hints" else min(len(examples), 2 * own * num_labels)


def hinted(examples: Sequence[Example]) -> list[Example]:
    """Each example with the longer of the hints about its own label: as long as what is read of them, about."""
    return [_hinted(example, AGAINST, example.gold) for example in examples]


def _paired(
    examples: Sequence[Example], labels: Sequence[str], contexts: int, rng: Random
) -> list[tuple[list[int], list[int]]]:
    """For each label the places of texts that have it, and of as many that have another; as many for one as for another."""
    by_label: dict[str, list[int]] = {}
    for place, example in enumerate(examples):
        by_label.setdefault(example.gold, []).append(place)
    fewest = min(labels, key=lambda label: len(by_label[label]))
    count = min(contexts, len(by_label[fewest]), len(examples) - max(map(len, by_label.values())))
    if count < LEAST_CONTEXTS:
        raise DataError(
            f"the label '{fewest}' has {plural(len(by_label[fewest]), 'text')}: too few to build a space from, which "
            f'takes {LEAST_CONTEXTS} or more of each. Give more, or build it from pairs = "hints".'
        )
    found = []
    for label in labels:
        others = [place for place, example in enumerate(examples) if example.gold != label]
        found.append((rng.sample(by_label[label], count), rng.sample(others, count)))
    return found


def _hinted(example: Example, sentence: str, label: str) -> Example:
    """The example with the sentence after its text, where it is asked as always."""
    return replace(example, prompt=f"{example.prompt}\n{sentence.format(label=label.replace('_', ' '))}")
