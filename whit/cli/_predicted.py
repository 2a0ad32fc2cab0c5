"""How well a model predicts what is there, for `whit evaluate`: plain text, or a task's worked solutions."""

import math
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from whit.cli._show import as_json, note, say
from whit.core.types import Interval
from whit.core.words import plural

if TYPE_CHECKING:
    from whit.analysis.perplexity import Predicted
    from whit.recipes.recipe import Recipe


def of_text(model: str, path: Path, *, dtype: str, device: str) -> "Predicted":
    from whit.analysis.perplexity import perplexity
    from whit.core.files import plain_texts
    from whit.models.load import load_policy, resolve_model

    return perplexity(load_policy(resolve_model(model), dtype=dtype, device=device), plain_texts(path))


def of_solutions(recipe: "Recipe", *, dtype: str, device: str) -> "Predicted":
    """Of the solutions of a recipe's task and split; of the bare answers where it has none, which is said."""
    from whit.analysis.perplexity import solution_loss
    from whit.core.errors import DataError
    from whit.models.load import load_policy, resolve_model
    from whit.prompting.zero_shot import zero_shot
    from whit.stages._model import renderer_of
    from whit.stages._score import choose_items
    from whit.stages._setup import formed
    from whit.stages._task import load_task

    task, wanted = load_task(recipe.task), recipe.evaluate
    examples = choose_items(task.take(wanted.split), wanted.items)
    if not examples:
        raise DataError(f"the split '{wanted.split}' has no items: there is no solution to predict.")
    worked = any(example.rationale for example in examples)
    pairs, without = formed(examples, "rationale" if worked else "answer")
    if not worked:
        note(f"the split '{wanted.split}' has no worked solutions: the loss is that of the bare answers")
    elif without:
        note(f"{plural(without, 'item')} of the split '{wanted.split}' without a worked solution left out")
    policy = load_policy(resolve_model(str(recipe.model)), dtype=dtype, device=device)
    solutions = [(zero_shot(example), text) for example, text in pairs]
    groups = [example.group for example, _ in pairs]
    return solution_loss(policy, renderer_of(policy, recipe.template), solutions, groups)


def tell_predicted(found: "Predicted", *, json: bool) -> None:
    if json:
        plain = asdict(found)
        for name in ("nats_per_token", "bits_per_byte"):
            plain[name] = {key: None if math.isnan(value) else value for key, value in plain[name].items()}
        as_json(plain)
        return
    rows = {
        "perplexity a token": f"{found.perplexity:.3f}",
        "nats a token": _four(found.nats_per_token),
        "bits per byte": _four(found.bits_per_byte),
        "texts, tokens, bytes": f"{found.texts:,}, {found.tokens:,}, {found.bytes:,}",
    }
    if found.too_long:
        rows["too long for the context"] = plural(found.too_long, "text")
    if found.too_short:
        rows["with no token to predict"] = plural(found.too_short, "text")
    if found.texts == 1:
        note("one text has no interval: give several, as rows with a column `text`")
    for label, value in rows.items():
        say(f"{label:<24} {value:>24}")


def _four(interval: Interval) -> str:
    told = f"{interval.estimate:.4f}"
    return told if math.isnan(interval.low) else f"{told} [{interval.low:.4f}, {interval.high:.4f}]"
