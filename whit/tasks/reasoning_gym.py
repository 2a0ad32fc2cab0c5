"""Reasoning Gym: a hundred generators of puzzles, algebra, logic, code and games, each with its own scoring.

Source: arXiv:2505.24760.
"""

import json
from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Any

from whit.core.errors import DataError, UsageError, did_you_mean
from whit.core.scorers import require_judge, require_reader
from whit.core.seeds import key64
from whit.core.types import Example, Split
from whit.tasks._generated import split_of

MAX_QUESTIONS = 10_000  # that a generator is told it may be asked for: some prepare them all
MAX_MISSES = 2_000  # questions in a row that are another split's or were there before
TRIED = 8  # questions at which a generator's scorer is tried on junk
GOLDS = ("possible_answer", "example_answer", "example_correct_answer")  # where some keep one of several right answers
SIZES: dict[Split, int] = {"train": 800, "dev": 100, "test": 100, "ood": 0}


def reasoning_gym(
    split: Split,
    *,
    dataset: str,
    settings: Mapping[str, Any] | None = None,
    size: int | None = None,
    seed: int = 0,
) -> Iterator[Example]:
    """Questions of the generator `dataset`, such as "chain_sum" or "knights_knaves".

    A generator is refused whose scorer may run what it scores ("countdown", "spiral_matrix" and more: docs/sandbox.md), or
    takes junk for right: "banana", "0", "nan", the answer to another question ("coin_flip", "complex_arithmetic",
    "game_of_life_halting", "propositional_logic").

    settings: the generator's own, such as its difficulty; None takes its defaults.
    size: number of questions, all different; the default depends on the split.
    A question belongs to exactly one of train, dev and test. Answers stand in <answer> tags: some have several lines.
    Raises UsageError when reasoning-gym is not installed, has no such generator or one that is refused, DataError when the
    generator gives too few questions or, as "rush_hour" does, no answer. "composite", a mixture of the others, is refused.
    """
    if split == "ood":
        return
    wanted = SIZES[split] if size is None else size
    made_with = {**(settings or {}), "seed": seed, "size": MAX_QUESTIONS}
    generator, seen, misses = _generator(dataset, json.dumps(made_with, sort_keys=True)), set[str](), 0
    for index in range(MAX_QUESTIONS):
        if len(seen) == wanted:
            return
        if misses == MAX_MISSES:
            break
        entry = generator[index]
        prompt = str(entry["question"]).strip()
        if split_of(prompt) != split or prompt in seen:
            misses += 1
            continue
        misses = 0
        seen.add(prompt)
        yield Example(
            id=f"{dataset}-{split}-{key64(prompt):016x}",
            prompt=prompt,
            gold=_gold(dataset, entry),
            verifier="reasoning_gym",
            answer_format="tags",
            metadata={"dataset": dataset, "settings": made_with, "index": index},
        )
    raise DataError(
        f"reasoning_gym: '{dataset}' has hardly more than {len(seen)} different {split} questions. Set a size."
    )


def _gold(dataset: str, entry: Mapping[str, Any]) -> str:
    known = (entry["answer"], *(entry["metadata"].get(name) for name in GOLDS))
    gold = next((answer for answer in known if answer is not None), None)
    if gold is None:
        raise DataError(
            f"reasoning_gym: '{dataset}' gives no answer to its question, so its verifier cannot be checked."
        )
    return json.dumps(gold) if isinstance(gold, dict) else str(gold).strip()


@lru_cache(maxsize=64)
def _generator(name: str, made_with: str) -> Any:
    """made_with: the settings as JSON."""
    try:
        import reasoning_gym as library
    except ImportError:
        raise UsageError("the task 'reasoning_gym' needs reasoning-gym: pip install 'whit[gym]'.") from None
    if name not in library.factory.DATASETS:
        raise UsageError(
            f"reasoning_gym: there is no generator '{name}'.{did_you_mean(name, library.factory.DATASETS)}"
        )
    require_reader(name, library.factory.DATASETS[name][0])
    try:
        generator = library.create_dataset(name, **json.loads(made_with))
    except (AssertionError, AttributeError, TypeError, ValueError) as error:
        raise UsageError(f"reasoning_gym: '{name}' does not take these settings: {error}") from None
    entries = [generator[index] for index in range(TRIED)]
    require_judge(name, generator, entries, [_gold(name, entry) for entry in entries])
    return generator
