"""How often a test split was looked at: each model that was scored on it, by a study and beside it.

Choices made after a look at the test split are in no interval, so the looks are counted and shown.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from whit.core.rundir import Store
from whit.core.types import Artifact


def openings(score_paths: Sequence[Path]) -> tuple[int, int]:
    """(models that a study scored on its split, other models scored on the same split in the same place).

    score_paths: the evaluations of the study. Those beside them in the store are read for the others; an evaluation of the
    same examples at other settings, such as another number of items, is a look too.
    """
    own = [facts for path in score_paths if (facts := Artifact(path, path.name).facts().get("facts"))]
    models = {facts["inputs"]["model"] for facts in own}
    splits = {_split(facts) for facts in own}
    beside = [
        artifact.facts()["facts"]
        for root in {path.parent for path in score_paths}
        for artifact in Store(root).all()
        if artifact.path.name.startswith("evaluate-")
    ]
    others = {facts["inputs"]["model"] for facts in beside if _split(facts) in splits}
    return len(models), len(others - models)


def _split(facts: dict[str, Any]) -> tuple[str, str, str]:
    """The examples that were asked: the task as the recipe writes it, the bytes of a user's file, the split."""
    return repr(facts["settings"]["task"]), facts["inputs"]["task"], facts["settings"]["split"]
