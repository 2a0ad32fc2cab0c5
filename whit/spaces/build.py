"""The task space of a model, built from training examples: pairs of prompts that differ in what is said of a label."""

from collections.abc import Sequence
from typing import Literal

import torch

from whit.core.errors import DataError
from whit.core.ledger import Ledger
from whit.core.seeds import stream
from whit.core.types import Ask, Example, Message
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
        texts that have another (ours).
    contexts: pairs a label; the same texts serve all labels for "hints". layers: after which; None takes all.
    ask: how an example is asked, without a hint. ledger: is charged for the passes.
    Raises DataError for fewer than two labels, and for a label with fewer than two texts where "examples" needs them.
    """
    chosen = list(range(len(decoder.layers()))) if layers is None else list(layers)
    found = {example.gold for example in examples}
    labels = [label for label in (examples[0].choices if examples else ()) if label in found] or sorted(found)
    if len(labels) < 2:
        raise DataError(
            f"a task space needs two labels or more, and the examples have {labels}. Take a task of labels."
        )
    rng = stream(seed, "task-space")
    texts = rng.sample(list(examples), min(contexts, len(examples)))
    mean_SD = last_states(decoder, [renderer.prompt(list(ask(e))) for e in texts], chosen, ledger).mean(0)
    differences = []
    for label in labels:
        if pairs == "hints":
            sides = [[_hinted(renderer, e, side, label) for e in texts] for side in (FOR, AGAINST)]
        else:
            own, others = [e for e in examples if e.gold == label], [e for e in examples if e.gold != label]
            if len(own) < LEAST_CONTEXTS:
                raise DataError(f"the label '{label}' has {len(own)} text: too few to build a space from examples.")
            count = min(contexts, len(own), len(others))
            sides = [[renderer.prompt(list(ask(e))) for e in rng.sample(side, count)] for side in (own, others)]
        for_MSD, against_MSD = (last_states(decoder, side, chosen, ledger) for side in sides)
        differences.append(for_MSD - against_MSD)
    least = min(len(difference) for difference in differences)
    stacked = torch.stack([difference[:least] for difference in differences])
    if pairs == "hints":
        stacked = stacked - stacked.mean(0)
    return TaskSpace.of(labels, chosen, stacked, mean_SD, method, energy)


def _hinted(renderer: Renderer, example: Example, sentence: str, label: str) -> list[int]:
    return renderer.prompt([Message("user", f"{example.prompt}\n{sentence.format(label=label.replace('_', ' '))}")])
