"""`whit plan RECIPE|STUDY`: what would run and what it costs; no weight is loaded."""

from pathlib import Path
from typing import Annotated, Any

import typer

from whit.cli._options import RUNS, Json, Runs
from whit.cli._show import as_json, say
from whit.core.words import duration, size, wrapped


def plan(
    source: Annotated[str, typer.Argument(help="A recipe (.toml or library name), or a study.toml.")],
    overrides: Annotated[list[str] | None, typer.Argument(help="name=value")] = None,
    runs: Runs = RUNS,
    json: Json = False,
) -> None:
    """FLOPs, time and peak memory of a recipe or a study, from the model's config and the speed of this machine.

    Exit code 1: the budget is too small for a step of every stage.
    """
    from whit.core.settings import read_toml
    from whit.recipes.recipe import Recipe
    from whit.study.plan import describe_recipe, describe_study
    from whit.study.study import Study

    path = Path(source)
    if path.suffix == ".toml" and "pipeline" in read_toml(path):
        facts = describe_study(Study.read(path, overrides or []))
    else:
        facts = describe_recipe(Recipe.read(source, overrides or []))
    if json:
        as_json(facts)
    else:
        _show(facts)
    if not facts["is_enough"]:
        raise typer.Exit(1)


def _show(facts: dict[str, Any]) -> None:
    for line in facts["stages"]:
        say(f"{line['name']:<28} {line['flops']:9.3g} FLOPs  {duration(line['seconds'])}")
    for line in facts["notes"]:
        say(wrapped(line, first="  ", rest="    "))
    memory = size(facts["memory_bytes"])
    scoring = f", {duration(facts['scoring_seconds'])} of it scoring" if facts["scoring_seconds"] else ""
    took = f"about {duration(facts['seconds'])} here{scoring}"
    say(wrapped(f"in all {facts['flops']:.3g} FLOPs, {took}; peak memory {memory}"))
