"""A pipeline is a fold over stages: each maps the artifact before it to the next, and is skipped when its artifact exists.

The content key of a stage covers its settings, its inputs, the seed, the code that it loads, dtype, device and torch.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any

from whit.core.errors import RecipeError
from whit.core.ledger import Ledger
from whit.core.parts import find, names
from whit.core.rundir import Facts, Notify, Run, Store, code_digest, digest_of, read_metrics, silent
from whit.core.seeds import key64
from whit.core.settings import all_settings, check_settings, to_plain, write_toml
from whit.core.types import Artifact
from whit.recipes.needs import check_ends, check_runs
from whit.recipes.recipe import Recipe, StageSpec
from whit.stages._kinds import OF_SETTINGS, inner_rewards, makes_data, named_files, needs_teacher
from whit.stages._model import model_artifact
from whit.stages._probe import bfloat16_pays
from whit.stages._task import is_file, normalise, task_digest
from whit.stages._teachers import is_cache

NOTHING_LOST = {"flops": 0.0, "seconds": 0.0}


@dataclass(frozen=True)
class Site:
    """Where pipelines run: the directory of artifacts, the device, and who watches."""

    root: Path
    device: str = "cpu"
    notify: Notify = field(default=silent)
    checkpoint_seconds: float = 10.0

    @property
    def store(self) -> Store:
        return Store(self.root / "artifacts")


def run_pipeline(recipe: Recipe, site: Site, depth: int | None = None, *, only_found: bool = False) -> list[Artifact]:
    """Run the first `depth` stages (all for None); the start model comes first in the list.

    What a stage leaves of its budget passes on to the next, and what it overran is taken from it. Running again finds what
    is finished.
    only_found: run nothing; the list ends before the first stage that is not finished.
    Raises RecipeError when a stage needs a task or teacher that is not there, BudgetError when nothing ends a stage.
    """
    check_runs(recipe)
    check_ends(recipe)
    artifacts: list[Artifact] = []
    artifact: Artifact | None
    start = start_artifact(recipe)
    if start is not None:
        artifacts.append(start)
    for number, stage in enumerate(recipe.stage[:depth], 1):
        limit = _limit(recipe, artifacts)
        before = artifacts[-1] if artifacts else None
        if only_found:
            artifact = site.store.find(stage_facts(recipe, number, stage, before, limit, site.device).key())
        else:
            artifact = run_stage(recipe, number, stage, before, limit, site)
        if artifact is None:
            break
        artifact.facts()  # raises here where its record is damaged
        artifacts.append(artifact)
    return artifacts


def made(recipe: Recipe, artifacts: Sequence[Artifact]) -> list[Artifact]:
    """What the stages made: the artifacts without the start model, which may be an artifact of another run."""
    return list(artifacts if recipe.model is None else artifacts[1:])


def lost(recipe: Recipe, site: Site, artifacts: Sequence[Artifact]) -> dict[str, float]:
    """Operations and seconds that the stage after `artifacts` had spent when it failed, by its last finished step."""
    number = len(made(recipe, artifacts)) + 1
    if number > len(recipe.stage):
        return NOTHING_LOST
    before = artifacts[-1] if artifacts else None
    facts = stage_facts(recipe, number, recipe.stage[number - 1], before, _limit(recipe, artifacts), site.device)
    lines = read_metrics(site.store.partial(facts) / "metrics.jsonl")
    if not lines:
        return NOTHING_LOST
    return {"flops": float(lines[-1]["flops"]), "seconds": float(sum(line.get("seconds", 0.0) for line in lines))}


def _limit(recipe: Recipe, artifacts: Sequence[Artifact]) -> float | None:
    """The ceiling of the stage after `artifacts`: its share, and what those before left or overran."""
    if recipe.budget.flops is None:
        return None
    spent = [Ledger.from_plain(artifact.facts()["ledger"]).flops for artifact in made(recipe, artifacts)]
    left = 0.0
    for share, flops in zip(recipe.shares, spent, strict=False):
        left = recipe.budget.flops * share + left - flops
    return recipe.budget.flops * recipe.shares[len(spent)] + left


def run_stage(
    recipe: Recipe, number: int, stage: StageSpec, start: Artifact | None, limit: float | None, site: Site
) -> Artifact:
    """The stage's artifact: found by its key, or made now."""
    function = find("stage", stage.kind)
    facts = stage_facts(recipe, number, stage, start, limit, site.device)
    snapshots = tuple(sorted(recipe.stop.at)) if recipe.stop and number == len(recipe.stage) else ()
    found = site.store.find(facts.key())
    if found is not None:
        site.notify({"stage": number, "kind": stage.kind, "progress": 1.0, "found": True})
        return found
    with site.store.workplace(facts) as directory:
        found = site.store.find(facts.key())  # another process may have made it while we waited
        if found is not None:
            return found
        run = Run(
            directory=directory, facts=facts, ledger=Ledger(limit), task=recipe.task, teacher=recipe.teacher,
            template=recipe.template, max_new_tokens=recipe.max_new_tokens, dtype=facts.dtype, device=site.device,
            notify=lambda line: site.notify({"stage": number, "kind": stage.kind, **line}),
            checkpoint_seconds=site.checkpoint_seconds, snapshots=snapshots,
            lr_factor=recipe.lr_factor, compile=recipe.compile, number=number,
        )  # fmt: skip
        artifact = function(start, run, **check_settings(function, stage.settings, f"stage.{number}"))
        assert isinstance(artifact, Artifact)
        return artifact


def stage_facts(
    recipe: Recipe, number: int, stage: StageSpec, start: Artifact | None, limit: float | None, device: str
) -> Facts:
    """Everything that the stage's artifact depends on."""
    settings = to_plain(all_settings(find("stage", stage.kind), stage.settings, f"stage.{number}"))
    settings |= {"task": recipe.task, "template": recipe.template, "max_new_tokens": recipe.max_new_tokens}
    trains = not makes_data(stage.kind)  # what makes data for several rates is made once
    if recipe.lr_factor != 1 and trains:
        settings["lr_factor"] = recipe.lr_factor
    if recipe.compile and trains:
        settings["compile"] = True
    if recipe.stop and number == len(recipe.stage):
        settings["stop"] = to_plain(recipe.stop)
    inputs = {"start": start.key if start else "", "task": task_digest(recipe.task) if recipe.task else ""}
    if recipe.teacher and needs_teacher(stage.kind, stage.settings):
        inputs["teacher"] = teacher_key(recipe.teacher)
    inputs |= {f"teacher {name}": teacher_key(name) for name in more_teachers(stage)}
    inputs |= {f"file {path}": digest_of(path) for path in files_of(stage)}
    modules = stage_modules(stage.kind, settings) + task_modules(recipe.task)
    return Facts(
        stage=stage.kind, settings=settings, inputs=inputs, seed=recipe.seed, limit_flops=limit,
        code=code_digest(modules), dtype=resolve_dtype(recipe, device), device=device, torch=version("torch"),
    )  # fmt: skip


def start_artifact(recipe: Recipe) -> Artifact | None:
    """The start model as an artifact; None for recipes that begin with a model made from nothing."""
    if recipe.model is None:
        if recipe.stage[0].kind == "pretrain":
            return None
        raise RecipeError(
            "model: this setting is needed and was not given. Add model=DIR (a model directory or hub name)."
        )
    return model_artifact(recipe.model)


def fingerprint(recipe: Recipe) -> str:
    """A hash of what decides how a run ends, the machine apart: settings, start model, teacher, data and code."""
    start = start_artifact(recipe)
    resolved = recipe.resolved()
    modules = [module for stage in resolved["stage"] for module in stage_modules(stage["kind"], stage)]
    facts = {
        "recipe": write_toml(resolved), "start": start.key if start else "",
        "teacher": teacher_key(recipe.teacher) if recipe.teacher and recipe.needs_teacher else "",
        "task": task_digest(recipe.task) if recipe.task else "",
        "teachers": [teacher_key(name) for stage in recipe.stage for name in more_teachers(stage)],
        "files": [digest_of(path) for stage in recipe.stage for path in files_of(stage)],
        "code": code_digest(["whit.stages._score", *modules, *task_modules(recipe.task)]),
    }  # fmt: skip
    return f"{key64(*facts.items()):016x}"


def files_of(stage: StageSpec) -> list[Path]:
    """The files that a stage's settings name: those of type Path. What is in them is part of what the stage depends on."""
    return named_files(all_settings(find("stage", stage.kind), stage.settings, stage.kind))


def more_teachers(stage: StageSpec) -> list[str]:
    """The teachers that a stage names beside the run's own."""
    return [str(named["model"]) for named in to_plain(stage.settings.get("teachers", ()))]


def teacher_key(name: str) -> str:
    """The content key of a teacher: a model's, that of a file of texts, or of a cache of logits."""
    path = Path(name)
    if is_cache(path) or (path.is_file() and path.suffix != ".gguf"):
        return digest_of(path)
    return model_artifact(name).key


def resolve_dtype(recipe: Recipe, device: str) -> str:
    """ "auto" is bfloat16 with float32 masters where products in it are faster, as measured, else float32."""
    if recipe.dtype != "auto":
        return recipe.dtype
    return "bfloat16" if device != "cpu" or bfloat16_pays() else "float32"


def stage_modules(kind: str, settings: Mapping[str, Any]) -> list[str]:
    """The modules of a stage and of the parts that its settings name: imports do not lead to them."""
    modules = part_modules(kind, "stages")
    for kind, package in OF_SETTINGS.items():
        specs = settings.get(kind)
        for spec in specs if isinstance(specs, list | tuple) else [specs]:
            modules += part_modules(spec, package.replace("/", "."))
            for inner in inner_rewards(spec).values() if kind == "reward" else ():
                modules += part_modules(inner, package)
    for term in settings.get("terms") or ():
        modules += part_modules(term["objective"], "objectives")
    modules += part_modules((settings.get("space") or {}).get("loss"), "objectives")
    return modules


def part_modules(spec: Any, package: str) -> list[str]:
    """The module of the part that a recipe names, for the code digest."""
    name = spec.get("name") if isinstance(spec, Mapping) else spec
    if not isinstance(name, str):
        return []
    if ":" in name:
        return [name.rpartition(":")[0]]
    return [f"whit.{package}.{name}"]


def task_modules(task: str | Mapping[str, Any] | None) -> list[str]:
    """The modules of a task and of the verifiers, which examples name: any of them may judge."""
    if task is None:
        return []
    modules = [] if is_file(task) else part_modules(task, "tasks")
    modules += part_modules(normalise(task).get("verifier"), "verifiers")
    return modules + [f"whit.verifiers.{name}" for name in names("verifier")]
