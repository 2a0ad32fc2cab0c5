"""The schema of a recipe: one tree of frozen values, written in TOML, checked whole before a weight is loaded."""

import inspect
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field

from whit.core.errors import PartError, RecipeError, did_you_mean
from whit.core.parts import find, names, options
from whit.core.settings import Frozen, all_settings, check_settings, override, parse_model, read_toml, to_plain
from whit.core.types import Split
from whit.stages._checks import check_stage
from whit.stages._kinds import FREE, OF_SETTINGS, inner_rewards, makes_data, named_files, needs_teacher
from whit.stages._task import check_verifier

LIBRARY = Path(__file__).parent / "library"
CEILINGS = ("flops", "hours", "money")
TAKES = {"reward": ("verdict", "text"), "shaping": ("answers",), "curriculum": ("examples", "seed"), "algorithm": ()}


class Budget(Frozen):
    """What a pipeline may spend: operations, hours, or money at a price an hour of the machine.

    Hours and money are converted once, by rates measured on the machine, and frozen as flops.
    """

    flops: float | None = Field(None, gt=0)
    hours: float | None = Field(None, gt=0)
    money: float | None = Field(None, gt=0)
    price: float | None = Field(None, gt=0)

    @property
    def time_hours(self) -> float | None:
        """The hours that were given, or that the money buys. Raises RecipeError for money without a price."""
        return in_hours(self.hours, self.money, self.price, self.flops)


def in_hours(hours: float | None, money: float | None, price: float | None, flops: float | None = None) -> float | None:
    """hours, or those that money buys at a price an hour; None for neither.

    Raises RecipeError for two ceilings, and for money without a price.
    """
    given = {name: value for name, value in (("flops", flops), ("hours", hours), ("money", money)) if value is not None}
    if len(given) > 1:
        told = " and ".join(f"{name}={value:g}" for name, value in given.items())
        raise RecipeError(f"budget: {told} are two ceilings. Leave one out.")
    if money is None:
        return hours
    if price is None:
        raise RecipeError(f"budget: money={money:g} buys hours at a price. Add the price of an hour of this machine.")
    return money / price


class StageSpec(Frozen):
    """One stage: its kind, its share of the budget, and the settings of its function beside them."""

    model_config = ConfigDict(extra="allow", frozen=True)

    kind: str
    share: float = Field(1.0, gt=0)

    @property
    def settings(self) -> dict[str, Any]:
        return dict(self.model_extra or {})


class EvaluateSpec(Frozen):
    """How pipelines are judged. items: so many of the split, drawn at random once; all of them for None."""

    split: Split = "test"
    items: int | None = Field(None, gt=0)
    samples: int = Field(4, gt=0)


class StopSpec(Frozen):
    """Stopping on dev: where the last stage's weights are kept, and how many dev items, asked greedily, choose."""

    at: tuple[Annotated[float, Field(gt=0, lt=1)], ...] = (0.125, 0.25, 0.5)
    items: int = Field(100, gt=0)


class Recipe(Frozen):
    """One pipeline. model, teacher, task and budget stand once; the stages inherit them.

    max_new_tokens: where completions are cut off, in training as in evaluation.
    lr_factor: what the peak learning rate of every stage is multiplied with; trials choose it.
    stop: take the weights of the time that does best on dev; None takes the last ones.
    compile: have PyTorch compile the layers for training, where a trial on the model shows that it is right and pays. What
        was trained without it is trained again: what the trial will show is not known when a finished stage is looked for.
    study: whether a study that is planned from a model and a task takes this recipe of the library by itself.
    ignore_checks: pre-flight checks whose failure does not stop the run.
    template: None takes the model's chat template; "plain" is Question: ... Answer: ... for base models without one.
    """

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")
    about: str = ""
    model: str | None = None
    teacher: str | None = None
    task: str | dict[str, Any] | None = None
    seed: int = Field(0, ge=0)
    template: str | None = None
    dtype: Literal["auto", "float32", "bfloat16"] = "auto"
    max_new_tokens: int = Field(256, gt=0)
    budget: Budget = Budget()
    stage: tuple[StageSpec, ...] = Field(min_length=1)
    evaluate: EvaluateSpec = EvaluateSpec()
    lr_factor: float = Field(1.0, gt=0)
    stop: StopSpec | None = None
    compile: bool = False
    ignore_checks: tuple[str, ...] = ()
    study: bool = True

    @classmethod
    def read(cls, source: str | Path, overrides: Sequence[str] = ()) -> "Recipe":
        """A recipe from a TOML file or, by name, from the library, with `a.b=c` overrides. Raises RecipeError."""
        tree = read_toml(_locate(str(source)))
        for assignment in overrides:
            override(tree, assignment)
        _one_ceiling(tree, overrides)
        return cls.make(tree)

    @classmethod
    def make(cls, tree: Mapping[str, Any]) -> "Recipe":
        """A recipe from plain values, checked down to the settings of every stage."""
        recipe = parse_model(cls, tree)
        _ = recipe.budget.time_hours  # raises here, before a weight is loaded
        for number, stage in enumerate(recipe.stage, 1):
            where = f"stage.{number}"
            settings = check_settings(_find(stage.kind, "stage", f"{where}.kind"), stage.settings, where)
            for kind in OF_SETTINGS:
                specs = settings.get(kind, ())
                several = isinstance(specs, list | tuple)
                for place, spec in enumerate(specs if several else [specs], 1):
                    _check_part(kind, spec, f"{where}.{kind}" + (f".{place}" if several else ""))
                    for inner, name in inner_rewards(spec).items() if kind == "reward" else ():
                        _check_part(kind, name, f"{where}.{kind}.{inner}", with_settings=False)
            for path in named_files(settings):
                if not path.exists():
                    raise RecipeError(f"{where}: there is no file {path}. Give the path of one that is there.")
            if stage.kind == "pretrain":
                _check_pretrain(settings, where, is_new=recipe.model is None and number == 1)
            if ":" not in stage.kind:
                given = all_settings(find("stage", stage.kind), stage.settings, where)
                before = recipe.stage[number - 2].kind if number > 1 else None
                check_stage(stage.kind, given, before=before, teacher=recipe.teacher, where=where)
        if makes_data(recipe.stage[-1].kind):
            raise RecipeError(
                f"stage.{len(recipe.stage)} ({recipe.stage[-1].kind}) makes traces, and no stage after it trains on them. "
                'Add one, such as kind = "sft" with source = "traces".'
            )
        if recipe.task is not None:
            _check_task(recipe.task)
        return recipe

    @property
    def shares(self) -> list[float]:
        """Each stage's part of the budget; they sum to 1. A stage that asks no model has none."""
        own = [0.0 if stage.kind in FREE else stage.share for stage in self.stage]
        return [share / sum(own) for share in own]

    @property
    def needs_teacher(self) -> bool:
        return any(needs_teacher(stage.kind, stage.settings) for stage in self.stage)

    def resolved(self) -> dict[str, Any]:
        """Plain values with every default of every stage filled in: what a run records."""
        tree: dict[str, Any] = to_plain(self)
        tree["stage"] = [
            {
                "kind": s.kind,
                "share": s.share,
                **to_plain(all_settings(find("stage", s.kind), s.settings, f"stage.{n}")),
            }
            for n, s in enumerate(self.stage, 1)
        ]
        return tree


def library() -> dict[str, Path]:
    """The recipes that whit ships, by name."""
    return dict(sorted((path.stem, path) for path in LIBRARY.glob("*.toml")))


def _one_ceiling(tree: dict[str, Any], overrides: Sequence[str]) -> None:
    """A ceiling among the overrides stands in place of the file's, whatever it is counted in; two of them stay two."""
    given = [name for name in CEILINGS if any(text.partition("=")[0].strip() == f"budget.{name}" for text in overrides)]
    for name in CEILINGS if given and isinstance(tree["budget"], dict) else ():
        if name not in given:
            tree["budget"].pop(name, None)


def _locate(source: str) -> Path:
    path = Path(source)
    if path.suffix == ".toml" or path.exists():
        return path
    if source in library():
        return library()[source]
    raise RecipeError(
        f"no recipe is called '{source}'.{did_you_mean(source, library())} (or give the path of a .toml file)"
    )


def _check_pretrain(settings: Mapping[str, Any], where: str, *, is_new: bool) -> None:
    """Raises RecipeError for settings of a new model where one is given, and for settings of texts without a file."""
    defaults = options(find("stage", "pretrain"))
    chosen = {name for name, value in settings.items() if value != defaults[name].default}
    of_new = ("architecture", "vocab_size", "tokenizer", "tokenizer_documents")
    if not is_new and (useless := [name for name in of_new if name in chosen]):
        raise RecipeError(f"{where}.{useless[0]}: it makes a new model, and this stage goes on with one. Leave it out.")
    if "texts" not in chosen and (useless := [name for name in ("text_share", "text_tokens") if name in chosen]):
        raise RecipeError(
            f"{where}.{useless[0]}: of which texts? Set texts to a file with a column text, or leave it out."
        )


def _check_part(kind: str, spec: Any, where: str, *, with_settings: bool = True) -> None:
    """A part that a stage finds by name later: an error should come now, not after the stages before it."""
    settings = {"name": spec} if isinstance(spec, str) else dict(spec)
    name = str(settings.pop("name", ""))
    part = _find(name, kind, where)
    if ":" in name:
        _check_signature(kind, name, part, where)
    if with_settings:
        check_settings(part, settings, where)


def _check_signature(kind: str, name: str, part: Any, where: str) -> None:
    """What the system supplies has to fit the positional parameters of a part of one's own."""
    if not callable(part):
        raise RecipeError(f"{where}: {name} is no function, but {part!r}.")
    given = TAKES.get(kind)
    try:
        parameters = inspect.signature(part).parameters
    except ValueError:  # of a function that is written in C
        return
    if kind == "reward" and parameters.keys() & {"completions", "completion"}:
        style = "a TRL-style function of completions" if "completions" in parameters else "a function of a completion"
        raise RecipeError(f'{where}: {name}: this is {style}: write task = {{ name = ..., verifier = "{name}" }}')
    if given is None:
        return
    kinds = [p.kind for p in parameters.values()]
    takes = [p for p in parameters.values() if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    needed = sum(p.default is p.empty for p in takes)
    if needed > len(given) or (len(takes) < len(given) and inspect.Parameter.VAR_POSITIONAL not in kinds):
        raise RecipeError(
            f"{where}: {name} takes ({', '.join(p.name for p in takes)}), and a {kind} is given ({', '.join(given)}). "
            "Settings of its own stand behind a *."
        )


def _find(name: str, kind: str, where: str) -> Callable[..., Any]:
    try:
        return find(kind, name)
    except PartError as error:
        raise RecipeError(f"{where}: {error}") from None


def _check_task(task: str | dict[str, Any]) -> None:
    """A task is the name of a part with its settings, or a data file; a file's content is read when the run starts."""
    settings = {"name": task} if isinstance(task, str) else dict(task)
    name = str(settings.pop("name", ""))
    if Path(name).suffix in (".csv", ".jsonl", ".json", ".parquet", ".gz"):
        if not Path(name).exists():
            raise RecipeError(f"task: there is no data file {name}.")
        check_verifier(check_settings(find("source", "file"), settings, "task").get("verifier"))
        return
    if ":" not in name and name not in names("task"):
        raise RecipeError(
            f"task: no task is called '{name}'.{did_you_mean(name, names('task'))} "
            "A data file ends in .csv, .jsonl, .json or .parquet (.gz too)."
        )
    check_settings(_find(name, "task", "task"), settings, "task")
