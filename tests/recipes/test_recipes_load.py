"""Recipes are checked whole when they are read: every name, type and range, before a weight is loaded."""

import re
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from whit.core.errors import BudgetError, RecipeError
from whit.core.settings import override, write_toml
from whit.recipes.machine import Rates, flops_in, training_seconds
from whit.recipes.needs import scored_items
from whit.recipes.recipe import Budget, Recipe, library
from whit.study import plan
from whit.study.plan import describe_recipe


@pytest.mark.parametrize("name", library())
def test_every_library_recipe_resolves_and_is_planned(name, tiny_model):
    recipe = Recipe.read(name)
    assert recipe.name == name
    assert recipe.about.endswith(".")
    if recipe.stage[0].kind != "pretrain":
        recipe = Recipe.read(name, [f"model={tiny_model}", "budget.flops=9e9"])
    plan = describe_recipe(recipe)
    assert [stage["name"].partition("(")[2][:-1] for stage in plan["stages"]] == [stage.kind for stage in recipe.stage]
    assert plan["flops"] == pytest.approx(sum(stage["flops"] for stage in plan["stages"]))


@pytest.mark.parametrize("name", library())
def test_a_resolved_recipe_is_read_back_as_itself(name, tmp_path):
    recipe = Recipe.read(name, ["task=word_problems", "budget.hours=2", "seed=3"])
    path = tmp_path / "recipe.toml"
    path.write_text(write_toml(recipe.resolved()))
    again = Recipe.read(path)
    assert again.resolved() == recipe.resolved()
    assert Recipe.read(path).budget == Budget(hours=2)


def test_money_buys_hours_at_a_price():
    assert Recipe.read("sft", ["budget.money=3", "budget.price=1.5"]).budget.time_hours == 2
    assert Recipe.read("sft", ["budget.hours=2", "budget.price=1.5"]).budget.time_hours == 2
    assert Recipe.read("sft", ["budget.flops=1e9"]).budget.time_hours is None
    with pytest.raises(RecipeError, match="Add the price of an hour of this machine"):
        Recipe.read("sft", ["budget.money=3"])
    with pytest.raises(RecipeError, match="hours=1 and money=3 are two ceilings"):
        Recipe.read("sft", ["budget.money=3", "budget.price=1", "budget.hours=1"])
    with pytest.raises(RecipeError, match=r"flops=1e\+09 and money=3 are two ceilings"):
        Recipe.read("sft", ["budget.money=3", "budget.price=1", "budget.flops=1e9"])


def test_a_ceiling_of_the_command_line_stands_in_place_of_the_file_s(tmp_path):
    path = tmp_path / "r.toml"
    path.write_text('name = "r"\nbudget.flops = 1e16\nbudget.price = 2\n[[stage]]\nkind = "sft"\n')
    assert Recipe.read(path, ["budget.hours=1"]).budget == Budget(hours=1, price=2)
    assert Recipe.read(path, ["budget.money=3"]).budget.time_hours == 1.5
    assert Recipe.read(path, ["seed=1"]).budget.flops == 1e16
    with pytest.raises(RecipeError, match=r"flops=1e\+09 and hours=1 are two ceilings"):
        Recipe.read(path, ["budget.hours=1", "budget.flops=1e9"])


def test_overrides_count_stages_from_one_and_reach_into_them():
    recipe = Recipe.read("sft-rl", ["stage.2.algorithm.group_size=4", "stage.1.optim.lr=2e-5", "task.name=word_problems",
                                    "task.operations=[2, 3]"])  # fmt: skip
    assert recipe.stage[1].settings["algorithm"]["group_size"] == 4
    assert recipe.resolved()["stage"][0]["optim"]["lr"] == 2e-5
    assert recipe.task == {"name": "word_problems", "operations": [2, 3]}


def test_shares_are_parts_of_the_whole():
    assert Recipe.read("sft-rl").shares == pytest.approx([1 / 3, 2 / 3])
    assert Recipe.read("sft").shares == [1.0]
    assert Recipe.read("specialize").shares == [0.0, 1.0]  # what asks no model has no part of a budget


STAGE = {"kind": "sft"}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"stage": []}, "stage: tuple should have at least 1 item"),
        ({"stage": [STAGE, {"kind": "slf"}]}, "stage.2.kind: no stage is called 'slf'."),
        (
            {"stage": [{"kind": "pretrain", "architecture": {"width": 32, "num_heads": 3}}]},
            "stage.1.architecture: width=32, num_heads=3, num_kv_heads=4: the width must be a multiple of 2 x num_heads",
        ),
        ({"stage": [{}]}, "stage.1.kind: this setting is needed and was not given."),
        ({"stage": [{**STAGE, "share": 0}]}, "stage.1.share: input should be greater than 0; given: 0."),
        (
            {"stage": [{**STAGE, "lora": {"rnk": 4}}]},
            "stage.1.lora.rnk: there is no setting 'rnk'. Did you mean 'rank'?",
        ),
        ({"stage": [{**STAGE, "optim": {"betas": [0.9]}}]}, "stage.1.optim.betas.2: this setting is needed"),
        (
            {"stage": [{**STAGE, "optim": {"schedule": "cos"}}]},
            "stage.1.optim.schedule: input should be 'constant', 'linear', 'cosine'",
        ),
        (
            {"stage": [{**STAGE, "terms": [{"objective": "cross_entrop"}]}]},
            "stage.1.terms.1: no objective is called 'cross_entrop'. Did you mean 'cross_entropy'?",
        ),
        (
            {"stage": [{"kind": "rl", "reward": "acuracy"}]},
            "stage.1.reward: no reward is called 'acuracy'. Did you mean",
        ),
        (
            {"stage": [{"kind": "rl", "reward": {"name": "weighted", "of": [{"reward": "acuracy"}]}}]},
            "stage.1.reward.of.1.reward: no reward is called 'acuracy'. Did you mean",
        ),
        (
            {"stage": [{"kind": "rl", "reward": {"name": "weighted", "of": ["accuracy"]}}]},
            'stage.1.reward.of.1: it takes a table and was given "accuracy". Write { reward = "accuracy" }.',
        ),
        (
            {"stage": [{"kind": "rl", "kl": 0.04}]},
            "stage.1.kl: it takes a table and was given 0.04. Write kl = { weight = 0.04 }. Its settings are weight, place",
        ),
        (
            {"stage": [{"kind": "rl", "algorithm": {"name": "grpo", "group_size": 1}}]},
            "stage.1.algorithm.group_size: input should be greater than or equal to 2",
        ),
        (
            {"stage": [{**STAGE, "form": "equation"}]},
            "stage.1.form: no form is called 'equation'. Did you mean 'equations'?",
        ),
        (
            {"stage": [{"kind": "mix", "sources": [{"path": "rich.jsonl"}]}, STAGE]},
            "stage.1: there is no file rich.jsonl.",
        ),
        (
            {"stage": [{"kind": "specialize", "formats": {"zero_shot": 1}}, STAGE]},
            "stage.1.formats.zero_shot: there is no setting 'zero_shot'. Did you mean 'zero_shot_cot'?",
        ),
        (
            {"stage": [STAGE, {"kind": "specialize"}]},
            "stage.2 (specialize) makes traces, and no stage after it trains on them. Add one",
        ),
        (
            {"task": {"name": "word_problems", "sizes": 3}},
            "task.sizes: there is no setting 'sizes'. Did you mean 'size'?",
        ),
        ({"task": {"name": "word_problems", "size": "big"}}, "task.size: input should be a valid integer"),
        ({"budget": {"flops": "much"}}, "budget.flops: input should be a valid number"),
        ({"budget": {"hours": -1}}, "budget.hours: input should be greater than 0; given: -1."),
        ({"evaluate": {"items": 0}}, "evaluate.items: input should be greater than 0; given: 0."),
        ({"dtype": "float16"}, "dtype: input should be 'auto', 'float32' or 'bfloat16'; given: 'float16'."),
        ({"modle": "x"}, "modle: there is no setting 'modle'. Did you mean 'model'?"),
    ],
)
def test_what_is_not_understood_is_refused_by_its_dotted_path(change, message):
    with pytest.raises(RecipeError, match=re.escape(message)):
        Recipe.make({"name": "r", "task": "word_problems", "stage": [STAGE], **change})


def test_a_plan_without_a_budget_is_refused(tiny_model):
    with pytest.raises(BudgetError, match="this recipe names none"):
        describe_recipe(Recipe.read("sft", [f"model={tiny_model}"]))


def test_hours_become_operations_by_how_fast_training_and_sampling_are(tiny_model):
    rates = Rates(train=2e9, sample=1e9, prompt_tokens=50, own_tokens=50)
    sft, rl = (Recipe.read(name, [f"model={tiny_model}"]) for name in ("sft", "rl"))
    assert flops_in(1, sft, rates) == pytest.approx(3600 * 2e9)
    assert sum(training_seconds(rl, flops_in(1, rl, rates), rates)) == pytest.approx(3600)
    assert flops_in(1, rl, rates) < flops_in(1, sft, rates)  # completions are written at half the speed


def test_a_plan_says_when_a_budget_is_too_small(tiny_model):
    def notes(flops):
        return describe_recipe(Recipe.read("sft-rl", [f"model={tiny_model}", f"budget.flops={flops}"]))["notes"]

    assert any("not every stage of the recipe makes a step" in note for note in notes(1e3))
    assert notes(1e15) == []


def test_a_plan_counts_scoring_where_there_is_a_task(tiny_model, sums, monkeypatch):
    monkeypatch.setattr(plan, "peak_rate", lambda width: 1e9)  # one speed, however busy the machine is
    asked = [f"model={tiny_model}", "budget.flops=1e9"]
    assert describe_recipe(Recipe.read("sft", asked))["scoring_seconds"] == 0
    few, many = (
        describe_recipe(Recipe.read("sft", [*asked, f"task={sums}", f"evaluate.items={items}"])) for items in (10, 1000)
    )
    assert 0 < few["scoring_seconds"] < many["scoring_seconds"]


@given(
    st.sampled_from(["seed", "name", "stage.1.share", "stage.1", "stage", "task.name", "budget.flops", ""]), st.text()
)
def test_any_override_is_taken_or_refused_with_a_recipe_error(name, value):
    tree = {"name": "r", "stage": [{"kind": "sft"}]}
    with suppress(RecipeError):
        override(tree, f"{name}={value}")
        Recipe.make(tree)


def test_a_file_s_items_are_counted_before_they_are_scored(sums, tmp_path):
    """12 of the file are for the test; a published task is not asked for here."""
    tree = {"name": "a", "stage": [{"kind": "sft"}]}
    assert scored_items(Recipe.make({**tree, "task": str(sums)}), unknown=500) == 12
    assert scored_items(Recipe.make({**tree, "task": str(sums), "evaluate": {"items": 5}}), unknown=500) == 5
    assert scored_items(Recipe.make({**tree, "task": "gsm8k"}), unknown=500) == 500
    (tmp_path / "broken.jsonl").write_text("{")
    assert scored_items(Recipe.make({**tree, "task": str(tmp_path / "broken.jsonl")}), unknown=500) == 500


@pytest.mark.parametrize(
    ("model", "settings", "told"),
    [
        ("micro-base", {"vocab_size": 300}, "stage.1.vocab_size: it makes a new model"),
        ("micro-base", {"architecture": {"width": 64}}, "stage.1.architecture: it makes"),
        (None, {"text_tokens": 64}, "stage.1.text_tokens: of which texts"),
    ],
)
def test_settings_of_pretraining_without_a_use_are_refused(model, settings, told):
    tree = {"name": "p", "task": "word_problems", "budget": {"flops": 1e9}, "stage": [{"kind": "pretrain", **settings}]}
    with pytest.raises(RecipeError, match=told):
        Recipe.make({**tree, **({"model": model} if model else {})})
