"""What a run needs and a library recipe leaves open: refused before the first stage, and before anything is written."""

from pathlib import Path
from typing import Any

from whit.core.errors import BudgetError, RecipeError, WhitError
from whit.core.files import read_record
from whit.core.settings import read_toml
from whit.core.types import Artifact
from whit.recipes.recipe import Recipe
from whit.stages._kinds import needs_teacher
from whit.stages._model import model_shape
from whit.stages._task import is_file, load_task
from whit.stages._teachers import is_cache


def scored_items(recipe: Recipe, unknown: int) -> int:
    """How many items a run is scored on, as far as that is known without asking for published data.

    unknown: what a task is taken for that is no file. A file that cannot be read is the run's to refuse.
    """
    asked = recipe.evaluate.items
    if recipe.task is None or not is_file(recipe.task):
        return asked or unknown
    try:
        there = len(load_task(recipe.task).splits.get(recipe.evaluate.split, ()))
    except WhitError:
        return asked or unknown
    return min(asked, there) if asked else there


def task_made_with(model: str) -> Any:
    """The task of the run, the study or the artifact that a directory holds; None where it is none of these."""
    directory = Path(model).expanduser()
    if (directory / "leaderboard.json").exists():
        best = read_record(directory / "leaderboard.json")["best_run"]
        directory = directory / "runs" / str(best)
    if (directory / "recipe.toml").exists():
        return read_toml(directory / "recipe.toml").get("task")
    if (directory / "artifact.json").exists():
        return Artifact(directory, "").facts()["facts"]["settings"].get("task")
    return None


def check_runs(recipe: Recipe) -> None:
    """Raises RecipeError for a task or teacher that is not given, NoSuchModelError for a teacher that is not there."""
    if recipe.task is None:
        raise RecipeError(
            "task: this setting is needed and was not given. Add task=NAME (`whit parts task`) or a file."
        )
    if recipe.needs_teacher and not recipe.teacher:
        kind = next(s.kind for s in recipe.stage if needs_teacher(s.kind, s.settings))
        also = ", or a file of a teacher's texts" if kind == "kd" else ""
        raise RecipeError(f"teacher: stage {kind} needs one. Add teacher=DIR (a model){also}.")
    if recipe.needs_teacher and recipe.teacher:
        check_teacher(recipe.teacher)


def check_teacher(name: str) -> None:
    """Raises RecipeError or NoSuchModelError when there is no such file of texts or model. Loads no weights."""
    if is_cache(Path(name)):
        return
    if not is_file(name):
        model_shape(name)
    elif not Path(name).is_file():
        raise RecipeError(f"teacher: there is no file {name}. Give a model, or a file of a teacher's texts.")


def check_ends(recipe: Recipe) -> None:
    """Raises BudgetError when nothing ends a stage."""
    if recipe.budget.flops is not None:
        return
    for number, stage in enumerate(recipe.stage, 1):
        settings = stage.settings
        ends = settings.get("epochs") is not None and settings.get("source") != "own"
        if stage.kind in ("sft", "step_by_step", "kd", "minillm", "rl", "hybrid") and not ends:
            raise BudgetError(
                f"stage.{number} ({stage.kind}): there is no budget, and nothing else ends this stage. "
                "Add budget.hours=1 or budget.flops=1e15."
            )
