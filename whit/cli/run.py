"""`whit run RECIPE [a.b=c ...]`: one pipeline, one seed."""

from typing import TYPE_CHECKING, Annotated

import typer

from whit.cli._options import RUNS, Device, Json, Runs, resolve_device
from whit.cli._show import StageView, as_json, duration, say

if TYPE_CHECKING:
    from whit.recipes.recipe import Recipe


def run(
    recipe: Annotated[str, typer.Argument(help="A .toml file, or the name of a library recipe (`whit parts recipe`).")],
    overrides: Annotated[
        list[str] | None, typer.Argument(help="name=value, such as model=DIR stage.1.optim.lr=2e-5")
    ] = None,
    runs: Runs = RUNS,
    device: Device = "auto",
    json: Json = False,
) -> None:
    """Train a pipeline, score it, and record the run; run again, it resumes."""
    from whit.core.seeds import key64
    from whit.core.settings import write_toml
    from whit.recipes.execute import execute
    from whit.recipes.pipeline import Site
    from whit.recipes.recipe import Recipe

    chosen = Recipe.read(recipe, overrides or [])
    chosen = _with_flops(chosen)
    view = StageView()
    directory = runs / f"{chosen.name}-{key64(write_toml(chosen.resolved())) % 16**8:08x}"
    result = execute(chosen, Site(runs, device=resolve_device(device), notify=view), directory)
    view.ticker.clear()
    if json:
        as_json({**result, "directory": str(directory)})
    else:
        for stage in result["stages"]:
            say(f"{stage['kind']:<10} {stage['flops']:.3g} FLOPs  {duration(stage['seconds'])}  {stage['path']}")
        if result["score"]:
            estimate, low, high = result["score"]["accuracy"]
            say(
                f"accuracy   {100 * estimate:.1f} % [{100 * low:.1f}, {100 * high:.1f}]  {result['score']['num_items']} items"
            )
        if result["outcome"] != "finished":
            say(f"{result['outcome']}: {result['error']}")
        say(str(directory))
    if result["outcome"] == "failed":
        raise typer.Exit(1)


def _with_flops(recipe: "Recipe") -> "Recipe":
    """Hours are converted once, by rates measured here, and frozen."""
    if recipe.budget.hours is None or recipe.budget.flops is not None:
        return recipe
    from whit.recipes.machine import measure_rates
    from whit.recipes.pipeline import Site
    from whit.recipes.recipe import Budget

    rates = measure_rates(recipe, Site(RUNS))
    return recipe.model_copy(update={"budget": Budget(flops=float(f"{recipe.budget.hours * 3600 * rates.train:.3g}"))})
