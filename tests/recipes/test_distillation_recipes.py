"""Every library recipe that distils, or that makes data first, runs to its end on a pair of tiny models."""

import json
from pathlib import Path

import pytest

from whit.core.errors import RecipeError
from whit.recipes.pipeline import Site, run_pipeline
from whit.recipes.recipe import Recipe, library
from whit.testing.tiny import tiny_model as make_model

PLAIN = {"micro-base", "micro-teacher", "sft", "sft-answers", "sft-own", "rl", "sft-rl", "sft-answers-rl"}
# A random model ends few texts and is never right: what asks for that is run by tests/stages.
NEVER_RIGHT = {"seq-kd", "kd-rl", "sft-kd-rl"}
FROM_A_CACHE = {"kept-kd"}
OF_LABELS = {"ts-ft"}
SMALL = {"kd": "batch_documents=2", "sft": "batch_documents=2", "step_by_step": "batch_documents=2",
         "minillm": "prompts_per_step=2", "rsd": "samples=2", "prefixes": "prompts_per_round=4"}  # fmt: skip


@pytest.fixture(scope="module")
def teacher(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_model(tmp_path_factory.mktemp("teacher") / "teacher", seed=7)


RL = {name for name in library() if all(stage.kind == "rl" for stage in Recipe.read(name).stage)}


@pytest.mark.parametrize("name", sorted(library().keys() - PLAIN - NEVER_RIGHT - FROM_A_CACHE - OF_LABELS - RL))
def test_it_runs_to_its_end_within_its_budget(name, tiny_model, teacher, sums, tmp_path):
    changes = [f"model={tiny_model}", f"teacher={teacher}", f"task={sums}", "budget.flops=1.5e9", "max_new_tokens=16"]
    for number, stage in enumerate(Recipe.read(name).stage, 1):
        changes += [f"stage.{number}.{SMALL[stage.kind]}"] if stage.kind in SMALL else []
        changes += [f"stage.{number}.epochs=2"] if stage.kind in ("kd", "sft", "step_by_step") else []
    recipe = Recipe.read(name, changes)
    artifacts = run_pipeline(recipe, Site(tmp_path))
    assert len(artifacts) == len(recipe.stage) + 1
    assert artifacts[-1].facts()["outcome"]["updates"] >= 1
    spent = [
        sum(account["flops"] for account in artifact.facts()["ledger"]["accounts"].values())
        for artifact in artifacts[1:]
    ]
    assert sum(spent) <= 1.5e9


def test_a_space_guides_a_recipe_on_a_task_of_labels(tiny_model, tmp_path):
    rows = [{"text": f"I see {n} {('pens', 'cups')[n % 2]}.", "label": ("one", "two")[n % 2]} for n in range(40)]
    (tmp_path / "labels.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    changes = [f"model={tiny_model}", f"task={tmp_path / 'labels.jsonl'}", "budget.flops=1e9", "max_new_tokens=16"]
    changes += ["stage.1.batch_documents=2", "stage.1.epochs=2", "stage.1.space.prediction=[1]"]
    recipe = Recipe.read("ts-ft", [*changes, "stage.1.space.norm=state"])
    artifact = run_pipeline(recipe, Site(tmp_path / "runs"))[-1]
    assert artifact.facts()["outcome"]["updates"] >= 1
    assert "prepass" in artifact.facts()["ledger"]["accounts"]


def test_what_was_kept_of_a_teacher_stands_for_it(whit, tiny_model, teacher, sums, tmp_path):
    asked = ["--student", str(tiny_model), "--task", str(sums)]
    assert whit("cache", str(teacher), str(tmp_path / "kept"), *asked, "--device", "cpu").code == 0
    changes = [f"model={tiny_model}", f"teacher={tmp_path / 'kept'}", f"task={sums}", "budget.flops=1.5e9"]
    recipe = Recipe.read("kept-kd", [*changes, "max_new_tokens=16", "stage.1.batch_documents=2", "stage.1.epochs=2"])
    artifact = run_pipeline(recipe, Site(tmp_path / "runs"))[-1]
    assert artifact.facts()["outcome"]["updates"] >= 1
    assert "teacher" not in artifact.facts()["ledger"]["accounts"]


@pytest.mark.parametrize("name", ["seq-kd", "cached-kd", "rsd", "minillm"])
def test_a_file_or_a_cache_where_a_live_teacher_is_asked_is_refused_when_the_recipe_is_read(
    name, tiny_model, sums, tmp_path
):
    (tmp_path / "texts.jsonl").write_text('{"prompt": "1", "completion": "1"}\n')
    with pytest.raises(
        RecipeError, match=r"asks a live teacher, and .* is a file of texts.*recipe kd for texts, kept-kd"
    ):
        Recipe.read(name, [f"model={tiny_model}", f"task={sums}", f"teacher={tmp_path / 'texts.jsonl'}"])


def test_further_teachers_stand_beside_the_first(tiny_model, teacher, sums):
    further = f'[{{model="{teacher}", weight=0.5}}]'
    with pytest.raises(RecipeError, match=r"beside the recipe's teacher, whose weight is 1. Set teacher"):
        Recipe.read("kd", [f"model={tiny_model}", f"task={sums}", f"stage.1.teachers={further}"])
