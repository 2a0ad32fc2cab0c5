"""Checks before the first step of a run: what a check names is supplied, and what it found is kept by content.

What a check found is found again while its code, its limits and everything that it looked at are the same.
"""

import json
import time
from collections.abc import Callable
from importlib.metadata import version
from typing import Any

from whit.core.errors import PreflightError, RecipeError, WhitError
from whit.core.files import read_record
from whit.core.parts import find, inputs, names
from whit.core.rundir import code_digest, digest_of, write_beside
from whit.core.seeds import key64
from whit.core.settings import Frozen
from whit.preflight._types import SUPPLIES, Finding, Status
from whit.recipes.pipeline import (
    Site,
    files_of,
    resolve_dtype,
    stage_modules,
    start_artifact,
    task_modules,
    teacher_key,
)
from whit.recipes.recipe import Recipe
from whit.stages._own import try_out
from whit.stages._supplies import Supplies
from whit.stages._task import is_file, normalise, task_digest

VERSIONS = f"torch {version('torch')}, transformers {version('transformers')}"


class Checked(Frozen):
    """What one check found, and when. is_found: in an earlier run, not now."""

    check: str
    status: Status
    message: str
    remedy: str = ""
    seconds: float = 0.0
    is_found: bool = False


def preflight(recipe: Recipe, site: Site, notify: Callable[[Checked], None] = lambda _: None) -> list[Checked]:
    """Every check that the recipe's first stage gives something to look at; none for a model made from nothing.

    Only the first stage is looked at: what the others start from is not there yet. But what every stage calls of one's own
    is tried out. Raises RecipeError without a task, and what a part of one's own raises.
    """
    if recipe.task is not None:
        for number, each in enumerate(recipe.resolved()["stage"], 1):
            try_out(each, recipe.task, f"stage.{number}", recipe.seed)
    start = start_artifact(recipe)
    if start is None:
        return []
    if recipe.task is None:
        raise RecipeError("task: pre-flight looks at a task's examples. Add task=NAME (`whit parts task`) or a file.")
    stage = recipe.resolved()["stage"][0]
    teacher = recipe.teacher if recipe.needs_teacher and not is_file(recipe.teacher or "") else None
    supplies = Supplies(
        start, recipe.task, stage, teacher=teacher, dtype=resolve_dtype(recipe, site.device), device=site.device,
        template=recipe.template, max_new_tokens=recipe.max_new_tokens,
    )  # fmt: skip
    looked_at = _digests(recipe, stage, supplies)
    found = []
    for name in names("check"):
        check = find("check", name)
        modules = [check.__module__, "whit.stages._supplies", *task_modules(recipe.task)]
        modules += stage_modules(stage["kind"], stage)
        key = key64(name, code_digest(modules), VERSIONS, *(looked_at[supply] for supply in inputs(check)))
        checked = _run(name, check, supplies, site, f"{key:016x}")
        if checked is not None:
            found.append(checked)
            notify(checked)
    supplies.close()
    return found


def require(recipe: Recipe, site: Site) -> list[Checked]:
    """What was found; the site is notified of what is not ok and does not stop the run.

    Raises PreflightError for the first check that failed and that the recipe does not ignore.
    """
    for name in recipe.ignore_checks:
        if name not in names("check"):
            find("check", name)  # raises, with what it could have meant
    found = preflight(recipe, site) if recipe.task is not None else []
    for checked in found:
        stops = checked.status == "failed" and checked.check not in recipe.ignore_checks
        if checked.status != "ok" and not stops:  # what stops the run is told by its error
            told = {key: str(getattr(checked, key)) for key in ("check", "status", "message", "remedy")}
            site.notify({"recipe": recipe.name, **told})
        if stops:
            raise PreflightError(
                f"pre-flight check '{checked.check}' failed: {checked.message}. {checked.remedy} "
                f'To run all the same: ignore_checks = ["{checked.check}"].'
            )
    return found


def _run(name: str, check: Callable[..., Finding], supplies: Supplies, site: Site, key: str) -> Checked | None:
    record = site.root / "preflight" / f"{name}-{key}.json"
    if record.exists():
        kept = read_record(record)
        return Checked(**kept, is_found=True) if kept else None
    started = time.perf_counter()
    try:
        given = [getattr(supplies, supply) for supply in inputs(check)]
        if any(value is None for value in given):
            write_beside(record, "{}")
            return None
        finding = check(*given)
    except WhitError:  # a model, data or a template that cannot be used, said as everywhere
        raise
    except Exception as error:  # rewards and verifiers may be anybody's code
        reason = f"it could not be made: {type(error).__name__}: {error}"
        return Checked(check=name, status="failed", message=reason, remedy="Mend what raises.")
    checked = Checked(check=name, **vars(finding), seconds=round(time.perf_counter() - started, 3))
    write_beside(record, json.dumps(checked.model_dump(exclude={"is_found"}), indent=1))
    return checked


def _digests(recipe: Recipe, stage: dict[str, Any], supplies: Supplies) -> dict[str, str]:
    """What each supply depends on, as text."""
    where = f"{supplies.start.key} {supplies.device}"
    assert recipe.task is not None
    task = json.dumps(normalise(recipe.task), sort_keys=True, default=str) + task_digest(recipe.task)
    template = f"{where} {recipe.template}"
    written = json.dumps(stage, sort_keys=True, default=str)
    written += "".join(map(digest_of, files_of(recipe.stage[0])))
    limit = str(recipe.max_new_tokens)
    digests = {
        "policy": where, "working": f"{where} {supplies.dtype}", "renderer": template, "examples": task,
        "documents": f"{template} {task} {written}", "groups": f"{template} {supplies.dtype} {task} {written} {limit}",
        "gold": f"{template} {task} {written}", "group_size": written, "temperature": written,
        "max_new_tokens": limit, "lr": f"{where} {written}",
        "teacher_vocab": teacher_key(recipe.teacher) + written if recipe.teacher and recipe.needs_teacher else "",
    }  # fmt: skip
    assert digests.keys() == SUPPLIES.keys()
    return digests
