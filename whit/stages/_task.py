"""A recipe's task to examples: a task part by name, or a user's file, with its three splits."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from whit.core.errors import DataError, PartError, RecipeError
from whit.core.parts import bind, find, options
from whit.core.rundir import digest_of
from whit.core.settings import check_settings
from whit.core.types import Example, Split
from whit.data.sources.file import file
from whit.verifiers._judge import check_gold

SPLITS: tuple[Split, ...] = ("train", "dev", "test")
OOD: Split = "ood"  # which few tasks have
FILES = (".jsonl", ".json", ".csv", ".parquet", ".gz")


@dataclass(frozen=True)
class TaskData:
    """The examples of a task. notes: what was detected or dropped on the way, for the user to read."""

    name: str
    splits: Mapping[Split, Sequence[Example]]
    notes: tuple[str, ...] = ()

    def take(self, split: Split, count: int | None = None) -> list[Example]:
        """The first `count` examples of a split (all of them for None). Raises DataError when it is empty."""
        examples = list(self.splits.get(split, ()))[:count]
        if not examples:
            raise DataError(f"task '{self.name}' has no examples in its {split} split.")
        return examples

    @property
    def has_rationales(self) -> bool:
        """Whether most training examples carry a worked solution."""
        train = self.splits["train"]
        return sum(bool(e.rationale) for e in train) > len(train) / 2


def normalise(spec: Any) -> dict[str, Any]:
    """A task as recipes write it, as {name, settings...}."""
    return {"name": spec} if isinstance(spec, str) else dict(spec)


def is_file(spec: Any) -> bool:
    """Whether a recipe's task or teacher is a data file, and not the name of a part or a model."""
    name = str(normalise(spec)["name"])
    return not name.endswith(".gguf") and (name.endswith(FILES) or Path(name).is_file())


def load_task(spec: Any, *, seed: int = 0) -> TaskData:
    """The splits of a task.

    seed: of the random split of a user's file; named tasks bring their own splits.
    Raises DataError when train, dev or test is empty, or a verifier refuses a gold answer.
    """
    return _load(json.dumps(normalise(spec), sort_keys=True, default=str), seed)


def check_verifier(name: str | None) -> None:
    """Raises RecipeError where a file's rows could not be judged by `name`, before one is read. None is chosen later."""
    if name is None:
        return
    try:
        part = find("verifier", name)
    except PartError as error:
        raise RecipeError(f"task.verifier: {error}") from None
    needed = [option for option, p in options(part).items() if p.default is p.empty]
    if needed and ":" not in name:
        raise RecipeError(
            f"task.verifier: '{name}' needs the setting '{needed[0]}'. Name your function itself: "
            'verifier = "file.py:function".'
        )


def task_digest(spec: Any) -> str:
    """What the content of a task depends on beside its settings: the bytes of a user's file."""
    return digest_of(Path(str(normalise(spec)["name"]))) if is_file(spec) else ""


@cache
def _load(spec: str, seed: int) -> TaskData:
    settings = json.loads(spec)
    name = str(settings.pop("name"))
    splits: dict[Split, Sequence[Example]] = {}
    notes: tuple[str, ...] = ()
    if is_file(name):
        chosen = check_settings(file, settings, "task")
        check_verifier(chosen.get("verifier"))
        found = file(Path(name), **{"seed": seed, **chosen})
        splits, notes = dict(found.examples), found.notes
    else:
        part = bind("task", name, settings, "task")
        splits = {split: list(part(split)) for split in (*SPLITS, OOD)}
    for split in SPLITS:
        if not splits[split]:
            raise DataError(f"task '{name}' has no examples in its {split} split.")
        check_gold(list(splits[split]))
    return TaskData(name, splits, notes)
