"""`whit doctor`: versions, device, what is missing; with a recipe or a model, the pre-flight checks."""

import importlib.metadata
import importlib.util
import os
import platform
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from whit.cli._options import RUNS, Device, Json, Runs, resolve_device, task_spec
from whit.cli._show import as_json, say, tell_task
from whit.core.words import size, wrapped

if TYPE_CHECKING:
    from whit.recipes.recipe import Recipe

NEEDED = ("torch", "transformers", "safetensors", "pydantic", "numpy", "scipy", "typer")
EXTRAS = {
    "peft": "lora",
    "datasets": "hub",
    "gguf": "gguf",
    "pyarrow": "parquet",
    "math_verify": "math",
    "z3": "logic",
    "jsonschema": "schema",
    "reasoning_gym": "gym",
}
DISTRIBUTIONS = {"z3": "z3-solver"}  # where the package goes by another name than its module


def doctor(
    what: Annotated[str | None, typer.Argument(help="A recipe (name or .toml), a study.toml, or a model.")] = None,
    more: Annotated[
        list[str] | None,
        typer.Argument(help="The recipe's overrides (model=DIR task=data.csv), or the model's data file."),
    ] = None,
    max_new_tokens: Annotated[int, typer.Option(help="With a model: where completions are cut off.")] = 256,
    template: Annotated[str | None, typer.Option(help='With a model: "plain" where there is no chat template.')] = None,
    runs: Runs = RUNS,
    device: Device = "auto",
    json: Json = False,
) -> None:
    """Say what whit finds on this machine; with a recipe, or a model and data, whether a run would go wrong in silence."""
    if what is None:
        _show_machine(json)
        return
    recipes = _recipes(what, more or [], max_new_tokens, template)
    tell_task(recipes[0].task)
    found = _check(recipes, runs, resolve_device(device), json)
    if any(checked["status"] == "failed" for checked in found):
        raise typer.Exit(1)


def _show_machine(json: bool) -> None:
    facts = [*_machine(), *_packages()]
    if json:
        as_json([{"what": what, "found": found, "remedy": remedy} for what, found, remedy in facts])
        return
    for what, found, remedy in facts:
        say(wrapped(f"{what:<14} {found}" + (f"  ->  {remedy}" if remedy else ""), rest=" " * 15))


def _recipes(what: str, more: list[str], max_new_tokens: int, template: str | None) -> "list[Recipe]":
    from whit.core.errors import UsageError
    from whit.core.settings import read_toml
    from whit.recipes.recipe import Recipe, library
    from whit.study.study import Study

    if Path(what).suffix == ".toml" and "pipeline" in read_toml(Path(what)):
        study = Study.read(Path(what), more)
        return [study.recipe(spec.name, 0) for spec in study.pipeline]
    is_data = len(more) == 1 and ("=" not in more[0] or more[0].startswith("{"))
    if not is_data and (Path(what).suffix == ".toml" or what in library()):
        return [Recipe.read(what, more)]
    if not is_data:
        raise UsageError(
            "write `whit doctor RECIPE model=DIR task=T`, or `whit doctor MODEL DATA` with a task or file."
        )
    # What a trainer of one's own would do with them: imitate gold, and sample.
    task = task_spec(more[0])
    shared = {"model": what, "task": task, "template": template, "max_new_tokens": max_new_tokens}
    stages = {"sft": {"kind": "sft", "source": _source(task)}, "rl": {"kind": "rl"}}
    return [Recipe.make({"name": name, "stage": [stage], **shared}) for name, stage in stages.items()]


def _source(task: Any) -> str:
    from whit.recipes.machine import has_rationales

    return "rationales" if has_rationales(task) else "answers"


def _check(recipes: "list[Recipe]", runs: Path, device: str, json: bool) -> list[dict[str, Any]]:
    from whit.recipes.pipeline import Site
    from whit.recipes.preflight import Checked, preflight

    found: list[dict[str, Any]] = []
    heading = ""

    def notify(checked: Checked) -> None:
        nonlocal heading
        row = checked.model_dump(exclude={"is_found"})
        if any({**row, "seconds": 0} == {**other, "seconds": 0} for other in found):
            return  # pipelines that begin alike are checked once
        found.append(row)
        if not json:
            if heading:
                say(heading)
                heading = ""
            text = f"{checked.status:<8} {checked.check:<17} {checked.message}"
            say(wrapped(text, rest=" " * 27))
            if checked.remedy:
                say(wrapped(f"-> {checked.remedy}", first=" " * 27, rest=" " * 30))

    for recipe in recipes:
        heading = f"As the pipeline '{recipe.name}' begins:" if len(recipes) > 1 else ""
        preflight(recipe, Site(runs, device=device), notify)
    if json:
        as_json(found)
    return found


def _machine() -> list[tuple[str, str, str]]:
    import torch

    from whit.core.memory import total_bytes
    from whit.kernels.build import why_not
    from whit.models.prepack import bfloat16_pays

    rows = [
        ("python", f"{sys.version.split()[0]} on {platform.system()} {platform.machine()}", ""),
        (
            "cores",
            f"{os.cpu_count()}, {size(total_bytes())} of memory, {size(shutil.disk_usage('.').free)} of disk free",
            "",
        ),
    ]
    if torch.cuda.is_available():
        properties = torch.cuda.get_device_properties(0)
        rows.append(("gpu", f"{properties.name}, {size(properties.total_memory)}", ""))
    else:
        rows.append(("gpu", "none: everything runs on the CPU", ""))
    fast = bfloat16_pays()
    rows.append(("bfloat16", "faster than float32, as measured" if fast else "slower than float32, which is used", ""))
    rows.append(_sandbox())
    rows.append(("operators", f"PyTorch's: {why_not()}" if why_not() else "compiled for this processor", ""))
    return rows


def _sandbox() -> tuple[str, str, str]:
    """Whether programs that a model wrote can be run here, as the verifier `python_tests` does."""
    from whit.core.errors import SandboxError
    from whit.verifiers._sandbox import check_sandbox

    try:
        binary = check_sandbox()
    except SandboxError as error:
        return "sandbox", "none, so python_tests, humaneval and mbpp cannot judge here", str(error)
    if binary is None:
        return "sandbox", "none: WHIT_UNSAFE_CODE=1 runs programs that a model wrote without isolation", ""
    said = subprocess.run([binary, "--version"], capture_output=True, text=True, check=False).stdout.strip()
    return "sandbox", f"ok ({said or binary})", ""


def _packages() -> list[tuple[str, str, str]]:
    rows = []
    for name in NEEDED:
        rows.append((name, importlib.metadata.version(name), ""))
    for name, extra in EXTRAS.items():
        if importlib.util.find_spec(name):
            rows.append((name, importlib.metadata.version(DISTRIBUTIONS.get(name, name)), ""))
        else:
            rows.append((name, "not installed", f"pip install 'whit[{extra}]'"))
    return rows
