"""`whit run RECIPE [a.b=c ...]`: one pipeline, one seed."""

from collections.abc import Iterator
from pathlib import Path
from statistics import fmean
from typing import Annotated, Any

import typer

from whit.cli._options import RUNS, Device, Json, Runs, resolve_device
from whit.cli._show import StageView, as_json, note, say, tell_task
from whit.core.parts import names
from whit.core.words import duration, outcome_words, plural

MIN_MOVED = 4  # steps at either end, that a movement is read off
UNSPENT = 0.15  # of the budget, from which on it is remarked


def run(
    recipe: Annotated[str, typer.Argument(help="A .toml file, or the name of a library recipe (`whit parts recipe`).")],
    overrides: Annotated[
        list[str] | None, typer.Argument(help="name=value, such as model=DIR stage.1.optim.lr=2e-5")
    ] = None,
    anyway: Annotated[
        bool, typer.Option("--anyway", help="Begin although the plan says that the budget is too small.")
    ] = False,
    runs: Runs = RUNS,
    device: Device = "auto",
    json: Json = False,
) -> None:
    """Train a pipeline, score it, and record the run; run again, it resumes."""
    from whit.core.seeds import key64
    from whit.core.settings import write_toml
    from whit.core.types import Interval
    from whit.recipes.execute import execute
    from whit.recipes.machine import freeze_budget
    from whit.recipes.needs import check_runs
    from whit.recipes.pipeline import Site
    from whit.recipes.recipe import Recipe
    from whit.study.plan import require_first_steps

    chosen = Recipe.read(recipe, overrides or [])
    check_runs(chosen)
    view = StageView(len(chosen.stage))
    site = Site(runs, device=resolve_device(device), notify=view)
    directory = runs / f"{chosen.name}-{key64(write_toml(chosen.resolved())) % 16**8:08x}"
    frozen = directory / "recipe.toml"  # hours are converted once: running again finds the same artifacts
    is_begun = frozen.exists()
    chosen = Recipe.read(frozen) if is_begun else freeze_budget(chosen, site)
    if not (is_begun or anyway):
        require_first_steps(chosen)
    tell_task(chosen.task)
    result = execute(chosen, site, directory)
    view.ticker.clear()
    if json:
        as_json({**result, "directory": str(directory)})
    else:
        for stage in result["stages"]:
            say(f"{stage['kind']:<10} {stage['flops']:.3g} FLOPs  {duration(stage['seconds'])}  {stage['path']}")
            if moved := movement(Path(stage["path"])):
                say(f"{'':<10} {moved}")
        if result["score"] and result["stages"]:
            accuracy = Interval(*result["score"]["accuracy"])
            too_long = result["score"].get("too_long", 0)
            beside = f", {too_long:,} too long for the context" if too_long else ""
            say(f"accuracy   {accuracy.percent()}  {result['score']['num_items']} items{beside}")
        say(str(directory))
    if result["outcome"] != "finished":
        note(f"{outcome_words(result['outcome'])}: {result['error']}")
    elif chosen.budget.flops:
        for warning in shortfalls(result["stages"], chosen.budget.flops):
            note(f"warning: {warning}")
    if result["outcome"] == "failed":
        raise typer.Exit(1)


def movement(artifact: Path) -> str:
    """How the reward, or the loss, of a stage moved: the means of its first and last tenths; "" where there are too few."""
    from whit.core.rundir import read_metrics

    lines = read_metrics(artifact / "metrics.jsonl")
    for name in ("reward", "cross_entropy", *names("objective")):
        values = [line[name] for line in lines if isinstance(line.get(name), float)]
        if len(values) >= 2 * MIN_MOVED:
            part = max(MIN_MOVED, len(values) // 10)
            return f"{name} {fmean(values[:part]):.3g} to {fmean(values[-part:]):.3g} in {len(values):,} steps"
    return ""


def shortfalls(stages: list[dict[str, Any]], flops: float) -> Iterator[str]:
    """What a run that ended well may have been too short of: updates, or room for a last step."""
    from whit.study.grid import MIN_STEPS
    from whit.study.plan import sizes_of

    for number, stage in enumerate(stages, 1):
        updates = stage["outcome"].get("updates", MIN_STEPS)
        if updates < MIN_STEPS:
            yield (
                f"stage {number} ({stage['kind']}) made only {plural(updates, 'update')}, and {MIN_STEPS} are the least to "
                f"learn from. Raise the budget, or make its steps smaller ({', '.join(sizes_of(stage['kind']))})."
            )
    unspent = 1 - sum(stage["flops"] for stage in stages) / flops
    if unspent > UNSPENT:
        yield (
            f"{100 * unspent:.0f} % of the budget is unspent: what would have come next did not fit, or `epochs` ended a "
            "stage. Smaller steps, or no `epochs`, use more of it."
        )
