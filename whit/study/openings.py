"""How often a test split was looked at: each model that was scored on it, by a study and beside it.

Choices made after a look at the test split are in no interval, so the looks are counted and shown.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from whit.core.rundir import Store
from whit.core.types import Artifact

Json = dict[str, Any]


def openings(score_paths: Sequence[Path]) -> tuple[int, int]:
    """(models that a study scored on the test split, other models scored on the same split in the same place).

    score_paths: the evaluations of the study. Those beside them in the store are read for the others; an evaluation of the
    same examples at other settings, such as another number of items, is a look too. One of another split is none.
    """
    own = _tests([Artifact(path, path.name) for path in score_paths])
    models, tests = {facts["inputs"]["model"] for facts in own}, [_examples(facts) for facts in own]
    beside = [
        artifact
        for root in {path.parent for path in score_paths}
        for artifact in Store(root).all()
        if artifact.path.name.startswith("evaluate-")
    ]
    others = {facts["inputs"]["model"] for facts in _tests(beside) if _examples(facts) in tests}
    return len(models), len(others - models)


def _tests(evaluations: Sequence[Artifact]) -> list[Json]:
    """The facts of those that asked a test split."""
    found = [artifact.facts().get("facts") for artifact in evaluations]
    return [facts for facts in found if facts and facts["settings"]["split"] == "test"]


def _examples(facts: Json) -> Json | str:
    """What was asked: the bytes of a user's file, whatever its name and columns; a named task with its settings."""
    task = facts["settings"]["task"]
    return facts["inputs"]["task"] or ({"name": task} if isinstance(task, str) else task)
