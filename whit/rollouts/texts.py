"""What a model writes about a task's examples, as rows of a file: the texts that another model may be distilled from."""

import json
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from whit.core.errors import DataError
from whit.core.files import read_rows
from whit.core.ledger import Ledger
from whit.core.types import Ask, Example, Group
from whit.data.render import Renderer
from whit.generation.engine import Engine
from whit.generation.sampler import Sampling
from whit.rewards.accuracy import accuracy
from whit.rollouts.collect import collect

ROUND = 64  # examples asked between two writes: what a kill can lose


def write_texts(
    path: Path, examples: Sequence[Example], engine: Engine, renderer: Renderer, ask: Ask, *, model: str,
    num_samples: int, sampling: Sampling, seed: int, ledger: Ledger, notify: Callable[[int], None],
) -> list[dict[str, Any]]:  # fmt: skip
    """Append the completions of `examples` to the JSONL file `path`, and return all its rows.

    Right and wrong ones are kept, each with what the verifier said of it and how it finished. Examples that the file holds
    already are not asked again, so a run that was killed goes on. Sampling is charged to the ledger.
    notify: told the number of examples that are done.
    Raises DataError when the file was written by another model, seed or way of sampling.
    """
    made_by = {"model": model, "seed": seed, "temperature": sampling.temperature, "top_p": sampling.top_p,
               "max_new_tokens": sampling.max_new_tokens, "samples": num_samples}  # fmt: skip
    rows = _written(path)
    for number, row in enumerate(rows, 1):
        if other := {name: row.get(name) for name, value in made_by.items() if row.get(name) != value}:
            raise DataError(
                f"{path}, row {number} was made with {_words(other)}, and now it is "
                f"{_words({name: made_by[name] for name in other})}. Give another --output, or the same settings."
            )
    rows = _whole_groups(path, rows, num_samples)
    done = {row["id"] for row in rows}
    left = [example for example in examples if example.id not in done]
    for start in range(0, len(left), ROUND):
        notify(len(examples) - len(left) + start)
        groups = collect(
            engine, renderer, left[start : start + ROUND], ask, accuracy, num_samples=num_samples, sampling=sampling,
            seed=seed, ledger=ledger,
        )  # fmt: skip
        new = [{**row, **made_by} for group in groups for row in _rows(group)]
        with path.open("a", encoding="utf-8", errors="backslashreplace") as out:  # a lone surrogate as its escape
            out.write("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in new))
        rows += new
    return rows


def _rows(group: Group) -> list[dict[str, Any]]:
    return [
        {"id": group.example.id, "prompt": group.example.prompt, "completion": rollout.text,
         "correct": rollout.verdict.correct, "strict": rollout.verdict.strict, "finish": rollout.finish,
         "tokens": len(rollout.segments[-1].ids)}
        for rollout in group.rollouts
    ]  # fmt: skip


def _written(path: Path) -> list[dict[str, Any]]:
    """The rows of the file; a last line that a kill cut in two is taken away."""
    if not path.exists():
        return []
    data = path.read_bytes()
    if not data.endswith(b"\n"):
        os.truncate(path, data.rfind(b"\n") + 1)
    return read_rows(path) if path.stat().st_size else []


def _whole_groups(path: Path, rows: list[dict[str, Any]], num_samples: int) -> list[dict[str, Any]]:
    """The rows without those of a last example that was written in part; the file keeps what is returned."""
    count = len(rows) - len(rows) % num_samples
    if count < len(rows):
        lines = path.read_bytes().split(b"\n")
        os.truncate(path, sum(len(line) + 1 for line in lines[:count]))
    return rows[:count]


def _words(settings: dict[str, Any]) -> str:
    return ", ".join(f"{name} {value}" for name, value in settings.items())
