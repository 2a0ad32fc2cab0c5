"""The schema of a study: pipelines x seeds at one ceiling of operations, with arms that train nothing."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field

from whit.core.errors import RecipeError, did_you_mean
from whit.core.parts import find, options
from whit.core.settings import Frozen, override, parse_model, read_toml
from whit.recipes.recipe import Budget, EvaluateSpec, Recipe, StageSpec, StopSpec

Arm = Literal["zero_shot", "few_shot", "majority@8"]
# Seeds of what is run for dev alone: what is tested later is a fresh draw.
TRIAL_SEED, QUALIFYING_SEED = 10_000, 20_000


class PipelineSpec(Frozen):
    """One pipeline of a study: a name and its stages.

    control: it stands in the table to test the instrument, and is no candidate.
    control_of: the pipeline whose learning rate a control takes instead of trials of its own, and with which it goes on.
    first_seed: with another one, a twin of a pipeline is a fresh draw of it.
    lr_factor: what its learning rates are multiplied with; where the study tries rates, what the trials chose.
    """

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")
    control: bool = False
    control_of: str | None = None
    first_seed: int = Field(0, ge=0)
    lr_factor: float = Field(1.0, gt=0)
    stage: tuple[StageSpec, ...] = Field(min_length=1)


class Study(Frozen):
    """What `study.toml` holds.

    flops: the ceiling of every pipeline, all its stages together.
    price: of an hour of the machine, in any currency: what the report begins with; the ceiling is in flops.
    workers: runs at a time; 0 takes one a core, as many as memory holds.
    stop: where runs may stop, by what dev says; None takes the whole ceiling.
    trials: learning rates that every pipeline tries on dev before anything else, as factors of its own, each with
        `trial_share` of the ceiling. Short trials of few items may mislead: see docs/results/distillation-micro.md.
    trial_items: dev items that trials and finalists are judged on; None takes as many as the rule of `stop`.
    finalists: so many pipelines, chosen by one run each on dev, go on to the test with fresh seeds; None takes all.
    random_reward: pipelines that get a control: the same one under a reward that knows nothing.
    """

    name: str = Field("study", pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")
    model: str
    teacher: str | None = None
    task: str | dict[str, Any]
    flops: float = Field(gt=0)
    price: float | None = Field(None, gt=0)
    seeds: int = Field(3, gt=0)
    workers: int = Field(0, ge=0)
    stop: StopSpec | None = None
    trials: tuple[Annotated[float, Field(gt=0)], ...] = ()
    trial_share: float = Field(0.125, gt=0, le=1)
    trial_items: int | None = Field(None, gt=0)
    finalists: int | None = Field(None, gt=1)
    template: str | None = None
    dtype: Literal["auto", "float32", "bfloat16"] = "auto"
    max_new_tokens: int = Field(256, gt=0)
    compile: bool = False
    evaluate: EvaluateSpec = EvaluateSpec()
    ignore_checks: tuple[str, ...] = ()
    arms: tuple[Arm, ...] = ("zero_shot", "few_shot", "majority@8")
    random_reward: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    pipeline: tuple[PipelineSpec, ...] = Field(min_length=1)

    @classmethod
    def read(cls, path: Path, overrides: Sequence[str] = ()) -> "Study":
        """A study from its file, checked down to the settings of every stage of every pipeline."""
        tree = read_toml(path)
        for assignment in overrides:
            override(tree, assignment)
        return cls.make(tree)

    @classmethod
    def make(cls, tree: Mapping[str, Any]) -> "Study":
        study = _with_random_rewards(parse_model(cls, tree))
        names = [spec.name for spec in study.pipeline]
        for name in names:
            if names.count(name) > 1:
                raise RecipeError(f"pipeline: two pipelines are called '{name}'. Give each its own name.")
        for spec in study.pipeline:
            if spec.control_of is not None and (not spec.control or spec.control_of not in names):
                raise RecipeError(
                    f"pipeline '{spec.name}': control_of='{spec.control_of}' needs control = true and a pipeline of that "
                    f"name.{did_you_mean(spec.control_of, names)}"
                )
            try:
                study.recipe(spec.name, 0)
            except RecipeError as error:
                raise RecipeError(f"pipeline '{spec.name}': {error}") from None
        return study

    def runs(self) -> list[tuple[PipelineSpec, int]]:
        """Every pipeline with each of its seeds, seed by seed, so that an interrupted study has whole seeds."""
        return [(spec, spec.first_seed + number) for number in range(self.seeds) for spec in self.pipeline]

    def recipe(self, pipeline: str, seed: int) -> Recipe:
        """The recipe of one run."""
        return self._recipe(pipeline, seed, f"{pipeline}-seed{seed}", self._spec(pipeline).lr_factor)

    def trial(self, pipeline: str, factor: float) -> Recipe:
        """A short run that tries a learning rate, judged on dev."""
        recipe = self._recipe(pipeline, TRIAL_SEED, f"{pipeline}-x{factor:g}", factor)
        budget = Budget(flops=self.flops * self.trial_share)
        return recipe.model_copy(update={"budget": budget, "stop": None})

    @property
    def dev_items(self) -> int:
        """Items of dev that choices are made with."""
        return self.trial_items or (self.stop.items if self.stop else StopSpec().items)

    @property
    def candidates(self) -> list[PipelineSpec]:
        """The pipelines that a verdict is about."""
        return [spec for spec in self.pipeline if not spec.control]

    @property
    def tried(self) -> list[PipelineSpec]:
        """The pipelines that have trials of their own."""
        return [spec for spec in self.pipeline if spec.control_of is None]

    def start(self) -> Recipe:
        """A recipe that stands for the start model alone: what the untrained arms are scored with."""
        return Recipe.make({**self._shared(), "name": "start", "stage": ({"kind": "sft"},)})

    def _spec(self, pipeline: str) -> PipelineSpec:
        return next(spec for spec in self.pipeline if spec.name == pipeline)

    def _recipe(self, pipeline: str, seed: int, name: str, factor: float) -> Recipe:
        stages = self._spec(pipeline).stage
        return Recipe.make({**self._shared(), "name": name, "seed": seed, "stage": stages, "lr_factor": factor})

    def _shared(self) -> dict[str, Any]:
        return {
            "model": self.model, "teacher": self.teacher, "task": self.task, "template": self.template,
            "dtype": self.dtype, "max_new_tokens": self.max_new_tokens, "budget": {"flops": self.flops},
            "compile": self.compile, "evaluate": self.evaluate, "ignore_checks": self.ignore_checks, "stop": self.stop,
        }  # fmt: skip


def _with_random_rewards(study: Study) -> Study:
    """The study with the controls that `random_reward` asks for, and nothing more asked for."""
    specs, controls = {spec.name: spec for spec in study.pipeline}, list[PipelineSpec]()
    for name in study.random_reward:
        if name not in specs:
            raise RecipeError(f"random_reward: there is no pipeline '{name}'.{did_you_mean(name, specs)}")
        stages = tuple(_without_knowledge(stage) for stage in specs[name].stage)
        if stages == specs[name].stage:
            raise RecipeError(
                f"random_reward: no stage of the pipeline '{name}' has a reward. Name one with a stage `rl`."
            )
        update = {"name": f"{name}-random-reward", "control": True, "control_of": name, "stage": stages}
        controls.append(specs[name].model_copy(update=update))
    return study.model_copy(update={"pipeline": (*study.pipeline, *controls), "random_reward": ()})


def _without_knowledge(stage: StageSpec) -> StageSpec:
    """The stage under a reward that knows nothing, if it has a reward."""
    if "reward" not in options(find("stage", stage.kind)):
        return stage
    return StageSpec(kind=stage.kind, share=stage.share, **{**stage.settings, "reward": "random_control"})
