"""Evaluation as a step of a run: load a model, ask it the items of a split, keep every completion."""

import json
from collections.abc import Sequence
from functools import partial
from itertools import islice
from typing import Literal

from whit.core.errors import PromptTooLongError, TemplateError
from whit.core.rundir import Run, write_beside
from whit.core.seeds import stream
from whit.core.types import Artifact, Ask, Example, Split
from whit.data.render import Renderer
from whit.evaluation.evaluate import evaluate
from whit.models.load import load_policy
from whit.prompting.few_shot import few_shot
from whit.prompting.zero_shot import zero_shot
from whit.stages._model import renderer_of
from whit.stages._task import load_task

SHOTS = 4  # demonstrations of the few-shot way, where they fit


def score_model(
    model: Artifact,
    run: Run,
    *,
    split: Split,
    items: int | None,
    samples: int,
    way: Literal["zero_shot", "few_shot"] = "zero_shot",
    max_rows: int = 64,
) -> Artifact:
    """`completions.jsonl` and `summary.json` of a model on a split.

    items: a fixed random sample of so many, the same for every model; None takes the whole split.
    """
    task = load_task(run.task)
    examples = choose_items(task.take(split), items)
    policy = load_policy(model.path, dtype=run.dtype, device=run.device)
    renderer, shots = renderer_of(policy, run.template), 0
    ask: Ask = zero_shot
    if way == "few_shot":
        demonstrations = task.take("train")[:512]
        shots = shots_that_fit(renderer, examples, demonstrations, run.max_new_tokens)
        ask = partial(few_shot, demonstrations=demonstrations, shots=shots)
    done = 0

    def notify(num_new: int) -> None:
        nonlocal done
        done += num_new
        run.notify({"evaluating": split, "new_tokens": done})

    evaluation = evaluate(
        policy, renderer, examples, ask, max_new_tokens=run.max_new_tokens, num_samples=samples,
        seed=run.seed, max_rows=max_rows, ledger=run.ledger, notify=notify,
    )  # fmt: skip
    evaluation.save(run.directory / "completions.jsonl")
    judged = {
        "verifier": ", ".join(sorted({example.verifier for example in examples})),
        "answer_format": ", ".join(sorted({example.answer_format for example in examples})),
    }
    summary = {**evaluation.summary(), **judged, "shots": shots}
    write_beside(run.directory / "summary.json", json.dumps(summary, indent=1))
    return run.save(lambda _: None)


def shots_that_fit(
    renderer: Renderer, examples: Sequence[Example], demonstrations: Sequence[Example], max_new_tokens: int
) -> int:
    """How many demonstrations, up to SHOTS, leave the longest items room for a whole completion; 0 for none.

    Items that do not fit the context by themselves have no say.
    """
    by_length = sorted(examples, key=lambda e: len(e.prompt), reverse=True)
    longest = list(islice((e for e in by_length if _fits(renderer, e)), 8))
    for shots in range(SHOTS, 0, -1):
        try:
            lengths = [len(renderer.prompt(few_shot(e, demonstrations, shots=shots))) for e in longest]
        except TemplateError:
            continue
        if max(lengths, default=0) + max_new_tokens <= renderer.max_length:
            return shots
    return 0


def _fits(renderer: Renderer, example: Example) -> bool:
    try:
        renderer.prompt(zero_shot(example))
    except PromptTooLongError:
        return False
    return True


def choose_items(examples: list[Example], wanted: int | None) -> list[Example]:
    """All examples, or a random sample that depends on nothing but their number."""
    if wanted is None or wanted >= len(examples):
        return examples
    chosen = sorted(stream(0, "items").sample(range(len(examples)), wanted))
    return [examples[i] for i in chosen]
