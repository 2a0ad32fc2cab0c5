"""A pipeline is a fold over stages whose results are found again by everything they depend on."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from whit.core.errors import BudgetError, RecipeError, RunError
from whit.core.rundir import differences
from whit.recipes.execute import execute
from whit.recipes.pipeline import Site, fingerprint, run_pipeline, stage_facts, task_modules
from whit.recipes.recipe import Recipe, StopSpec

SFT = {"kind": "sft", "batch_documents": 4, "optim": {"lr": 1e-3}}
# A stage of the user's own, which spends half of what it gets, fails, or collapses.
STAGE = '''
import shutil
from whit.core.errors import BudgetError
from whit.core.rundir import Run
from whit.training.meter import Meter

def mine(start, run: Run, *, how: str = "spends"):
    """Copies the model."""
    if how == "is too small":
        raise BudgetError("the budget is too small for one step.")
    if how == "fails":
        raise ValueError("this stage cannot work")
    run.ledger.charge("train", flops=0.5 * run.ledger.limit_flops)
    if how == "fails late":
        Meter(run.directory / "metrics.jsonl", 0).write({"step": 0, "flops": run.ledger.flops, "seconds": 2.0})
        raise ValueError("this stage cannot go on")
    if how == "is cut":
        (run.directory / "metrics.jsonl").write_text('{"step": 0, "flops": 1e6, "seconds": 2.0}\\n{"step": 1, "fl')
        raise ValueError("the disk is full")
    outcome = {"collapsed": "step 2: cross_entropy is nan."} if how == "collapses" else {}
    outcome |= {"updates": 0} if how == "learns nothing" else {}
    return run.save(lambda directory: shutil.copytree(start.path, directory, dirs_exist_ok=True), **outcome)
'''


@pytest.fixture
def mine(tmp_path):
    (tmp_path / "stage.py").write_text(STAGE)

    def mine(how="spends", **more):
        return {"kind": f"{tmp_path / 'stage.py'}:mine", "how": how, **more}

    return mine


@pytest.fixture
def recipe(tiny_model, sums):
    def recipe(*stages, **more):
        return Recipe.make({
            "name": "r", "model": str(tiny_model), "task": str(sums), "dtype": "float32", "max_new_tokens": 5,
            "ignore_checks": ["truncation"],
            "budget": {"flops": 1e8}, "evaluate": {"items": 4, "samples": 1}, "stage": list(stages) or [SFT], **more,
        })  # fmt: skip

    return recipe


@pytest.fixture
def site(tmp_path):
    told = []
    site = Site(tmp_path / "runs", notify=told.append)
    return replace(site, notify=told.append), told


def facts(recipe, number=1):
    from whit.recipes.pipeline import start_artifact

    return stage_facts(recipe, number, recipe.stage[number - 1], start_artifact(recipe), 1e8, "cpu")


def test_running_twice_finds_what_is_there(recipe, site, mine):
    here, told = site
    first = run_pipeline(recipe(SFT, mine()), here)
    assert [artifact.path.name.partition("-")[0] for artifact in first][1:2] == ["sft"]
    told.clear()
    assert run_pipeline(recipe(SFT, mine()), here) == first
    assert [line.get("found") for line in told] == [True, True]


def test_equal_prefixes_are_computed_once(recipe, site, mine):
    here, _ = site
    one = run_pipeline(recipe(SFT, mine()), here)
    other = run_pipeline(recipe(SFT, mine(share=1.0, how="collapses")), here)
    assert one[1] == other[1] and one[2] != other[2]
    assert run_pipeline(recipe(SFT, mine()), here, depth=1) == one[:2]


def test_only_found_runs_nothing(recipe, site, mine):
    here, _ = site
    two = recipe(SFT, mine())
    assert len(run_pipeline(two, here, only_found=True)) == 1
    run_pipeline(two, here, depth=1)
    assert len(run_pipeline(two, here, only_found=True)) == 2


def test_what_a_stage_leaves_passes_on(recipe, site, mine):
    here, _ = site
    _, first, second = run_pipeline(recipe(mine(), mine()), here)
    assert first.facts()["ledger"]["limit_flops"] == 0.5e8
    assert second.facts()["ledger"]["limit_flops"] == 0.75e8


@pytest.mark.parametrize(
    ("change", "line"),
    [
        ({"seed": 1}, "seed: 0 -> 1"),
        ({"stage": [{**SFT, "batch_documents": 8}]}, "settings.batch_documents: 4 -> 8"),
        ({"stage": [{**SFT, "optim": {"lr": 0.002}}]}, "settings.optim.lr: 0.001 -> 0.002"),
        ({"max_new_tokens": 6}, "settings.max_new_tokens: 5 -> 6"),
        ({"dtype": "bfloat16"}, "dtype: float32 -> bfloat16"),
    ],
)
def test_a_key_changes_with_a_setting_and_says_which(recipe, change, line):
    old, new = facts(recipe()), facts(recipe(**change))
    assert old.key() != new.key()
    assert differences(vars(old), vars(new)) == [line]


def test_a_key_does_not_change_with_names_and_remarks(recipe):
    assert facts(recipe()).key() == facts(recipe(name="other", about="Something.")).key()


def test_a_key_changes_with_the_start_model_and_with_the_data(recipe, tiny_model, sums, tmp_path):
    other = Path(shutil.copytree(tiny_model, tmp_path / "other"))
    assert facts(recipe()).key() == facts(recipe(model=str(other))).key()  # where it stands is nothing
    (other / "config.json").write_text((other / "config.json").read_text() + " ")
    changed = differences(vars(facts(recipe())), vars(facts(recipe(model=str(other)))))
    assert [line.partition(":")[0] for line in changed] == ["inputs.start"]
    data = Path(shutil.copy(sums, tmp_path / "sums.jsonl"))
    before = facts(recipe(task=str(data)))
    data.write_text(data.read_text().replace("0 + 1?", "0 plus 1?"))
    after = facts(recipe(task=str(data)))
    assert [line.partition(":")[0] for line in differences(vars(before), vars(after))] == ["inputs.task"]


def test_a_key_changes_with_the_code_of_the_parts_it_names(recipe, mine, tmp_path):
    old = facts(recipe(mine()))
    copy = tmp_path / "copy.py"
    copy.write_text(STAGE.replace("0.5", "0.6"))
    new = facts(recipe({**mine(), "kind": f"{copy}:mine"}))
    assert any(line.startswith("code: ") for line in differences(vars(old), vars(new)))


def test_code_covers_verifiers_and_the_parts_that_stand_by_default(recipe, sums):
    assert "whit.verifiers.exact_number" in task_modules("gsm8k")
    assert "my.py" in task_modules({"name": str(sums), "verifier": "my.py:reward"})
    plain, named = recipe({"kind": "rl"}), recipe({"kind": "rl", "algorithm": "grpo"})
    assert facts(plain).code == facts(named).code != facts(recipe()).code


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"budget": {}}, BudgetError, r"stage\.1 \(sft\): there is no budget, and nothing else ends this stage"),
        ({"task": None}, RecipeError, "task: this setting is needed"),
        ({"model": None}, RecipeError, "model: this setting is needed"),
        ({"stage": [SFT, {"kind": "kd"}]}, RecipeError, "teacher: stage kd needs one"),
    ],
)
def test_what_would_fail_later_is_refused_before_the_first_stage(recipe, site, change, error, message):
    with pytest.raises(error, match=message):
        run_pipeline(recipe(**change), site[0])
    assert not site[0].root.exists()


def test_a_key_changes_with_the_files_that_settings_name(recipe, tmp_path):
    rich, simple = tmp_path / "rich.jsonl", tmp_path / "simple.jsonl"
    for file in (rich, simple):
        file.write_text('{"prompt": "0 + 1?", "completion": "#### 1"}\n')
    mixed = recipe(
        {"kind": "mix", "sources": [{"path": str(rich)}, {"path": str(simple)}]}, {**SFT, "source": "traces"}
    )
    before, printed = facts(mixed), fingerprint(mixed)
    simple.write_text('{"prompt": "0 + 1?", "completion": "One. #### 1"}\n')
    changed = differences(vars(before), vars(facts(mixed)))
    assert [line.rpartition(": ")[0] for line in changed] == [f"inputs.file {simple}"]
    assert fingerprint(mixed) != printed


def test_a_stage_that_makes_data_leaves_its_budget_and_its_model_to_the_next(recipe, site):
    made = recipe({"kind": "specialize"}, {**SFT, "source": "traces", "epochs": 0.1})
    start, data, trained = run_pipeline(made, site[0])
    assert data.facts()["ledger"] == {"accounts": {}, "limit_flops": 0.0}
    assert trained.facts()["ledger"]["limit_flops"] == 1e8
    assert (data.path / "model.safetensors").read_bytes() == (start.path / "model.safetensors").read_bytes()
    assert run_pipeline(made, site[0]) == [start, data, trained]
    last = trained.facts()["outcome"]
    assert last["logprob_after"] > last["logprob_before"]


def test_a_form_is_part_of_the_key_and_so_is_its_code(recipe, monkeypatch):
    assert facts(recipe(SFT)).key() != facts(recipe({**SFT, "form": "equations"})).key()
    covered = []
    monkeypatch.setattr("whit.recipes.pipeline.code_digest", lambda modules: str(covered.extend(modules)))
    facts(recipe({**SFT, "form": "equations"}))
    assert "whit.data.forms.equations" in covered


def test_examples_without_the_form_are_left_out_and_counted(recipe, site, tmp_path):
    rows = [{"prompt": f"{n} + 1?", "answer": str(n + 1), "rationale": f"{n} + 1 = {n + 1}." if n % 2 else "It is so.",
             "split": ("train", "train", "dev", "test")[n % 4]} for n in range(40)]  # fmt: skip
    (tmp_path / "half.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    asked = recipe({**SFT, "form": "equations", "epochs": 1}, task=str(tmp_path / "half.jsonl"))
    _, done = run_pipeline(asked, site[0])
    assert done.facts()["outcome"]["form"] == {"taught": 10, "left_out": 10}
    assert {"taught": 10, "left_out": 10} in [line.get("form") for line in site[1]]
    with pytest.raises(RecipeError, match='source = "answers" takes none'):
        run_pipeline(recipe({**SFT, "form": "equations", "source": "answers"}), site[0])


def test_without_a_budget_epochs_end_a_stage(recipe, site):
    _, done = run_pipeline(recipe({**SFT, "epochs": 0.2}, budget={}), site[0])
    assert done.facts()["outcome"]["updates"] == 2  # 40 rows x 0.2 in fours


def test_what_came_of_compiling_is_told_and_recorded(recipe, site):
    here, told = site
    _, plain = run_pipeline(recipe(), here)
    _, done = run_pipeline(recipe(compile=True), here)
    found = done.facts()["outcome"]["compile"]
    assert found.startswith("not compiled: training takes about")
    assert [line["compile"] for line in told if "compile" in line] == [found]
    assert done != plain and "compile" not in plain.facts()["outcome"]


def test_a_failing_stage_keeps_what_was_reached_and_scores_it(recipe, site, mine, tmp_path):
    run = execute(recipe(SFT, mine("fails"), mine()), site[0], tmp_path / "run")
    assert (run["outcome"], run["error"]) == ("failed", "ValueError: this stage cannot work")
    assert [stage["kind"] for stage in run["stages"]] == ["sft"]
    assert Path(run["model"]).name.startswith("sft-")
    assert run["score"]["num_items"] == 4
    assert json.loads((tmp_path / "run" / "run.json").read_text()) == run
    assert "this stage cannot work" in (tmp_path / "run" / "traceback.txt").read_text()
    assert Recipe.read(tmp_path / "run" / "recipe.toml").stage[1].settings["how"] == "fails"


def test_a_run_that_fails_at_once_has_the_score_of_the_start_model(recipe, site, mine, tmp_path, tiny_model):
    run = execute(recipe(mine("fails")), site[0], tmp_path / "run")
    assert (run["outcome"], run["model"], run["stages"]) == ("failed", str(tiny_model), [])


def test_a_failure_elsewhere_is_recorded_without_training_again(recipe, site, tmp_path):
    run = execute(recipe(), site[0], tmp_path / "run", failure="the worker died")
    assert (run["outcome"], run["error"], run["stages"]) == ("failed", "the worker died", [])
    assert not list(site[0].store.root.glob("sft-*"))


def test_what_a_failed_stage_had_spent_is_recorded(recipe, site, mine, tmp_path):
    run = execute(recipe(SFT, mine("fails late")), site[0], tmp_path / "run")
    assert (run["outcome"], run["error"]) == ("failed", "ValueError: this stage cannot go on")
    left = recipe().budget.flops - run["stages"][0]["flops"]
    assert run["lost"] == {"flops": pytest.approx(left / 2, rel=1e-5), "seconds": 2.0}
    assert execute(recipe(), site[0], tmp_path / "whole")["lost"] == {"flops": 0, "seconds": 0}


def test_a_line_that_a_kill_cut_in_two_loses_no_record(recipe, site, mine, tmp_path):
    run = execute(recipe(SFT, mine("is cut")), site[0], tmp_path / "run")
    assert (run["outcome"], run["error"]) == ("failed", "ValueError: the disk is full")
    assert run["lost"]["seconds"] == 2.0


def test_a_run_that_starts_from_an_artifact_records_its_own_stages(recipe, site, tmp_path):
    first = execute(recipe(), site[0], tmp_path / "first")
    second = execute(recipe().model_copy(update={"model": first["model"], "seed": 1}), site[0], tmp_path / "second")
    assert [stage["kind"] for stage in second["stages"]] == ["sft"]
    assert second["stages"][0]["path"] != first["stages"][0]["path"]


def test_a_collapse_is_an_outcome(recipe, site, mine, tmp_path):
    run = execute(recipe(mine("collapses"), mine()), site[0], tmp_path / "run")
    assert (run["outcome"], run["error"]) == ("collapsed", "step 2: cross_entropy is nan.")
    assert len(run["stages"]) == 2 and run["score"]


def test_a_collapse_after_the_time_that_dev_chose_is_none_of_the_result(recipe, site, mine, tmp_path, monkeypatch):
    taken = {"share": "0.5"}
    monkeypatch.setattr("whit.recipes.execute.stop_on_dev", lambda last, *_: (last, taken))
    asked = recipe(mine("collapses")).model_copy(update={"stop": StopSpec(at=(0.5,))})
    run = execute(asked, site[0], tmp_path / "early")
    assert run["outcome"] == "finished" and run["error"].startswith("after the time that dev chose: step 2")
    taken["share"] = "1"
    assert execute(asked, site[0], tmp_path / "whole")["outcome"] == "collapsed"


def test_a_learning_rate_that_is_too_high_collapses_and_keeps_the_weights_before(recipe, site, tmp_path):
    run = execute(
        recipe({**SFT, "optim": {"lr": 1e30, "schedule": "constant", "warmup": 0}}), site[0], tmp_path / "run"
    )
    assert run["outcome"] == "collapsed"
    assert "The weights before this step are kept. Lower the learning rate" in run["error"]


def test_a_stage_that_had_nothing_to_learn_from_is_an_outcome(recipe, site, mine, tmp_path):
    run = execute(recipe(SFT, mine("learns nothing")), site[0], tmp_path / "run")
    assert run["outcome"] == "no_signal" and "made no update" in run["error"]


def test_a_budget_too_small_for_a_later_stage_is_an_outcome_and_for_the_first_one_an_error(
    recipe, site, mine, tmp_path
):
    run = execute(recipe(SFT, mine("is too small")), site[0], tmp_path / "run")
    assert (run["outcome"], run["error"]) == ("failed", "the budget is too small for one step.")
    assert [stage["kind"] for stage in run["stages"]] == ["sft"]
    with pytest.raises(BudgetError):
        execute(recipe(mine("is too small")), site[0], tmp_path / "other")


def test_making_a_model_from_nothing_that_fails_has_no_score(site, tmp_path):
    stage = {"kind": "pretrain", "tokenizer": str(tmp_path), "tokenizer_documents": 2}
    recipe = Recipe.make({"name": "r", "task": "word_problems", "stage": [stage]})
    run = execute(recipe, site[0], tmp_path / "run")
    assert "has no tokenizer" in run["error"]
    assert (run["outcome"], run["model"], run["score"]) == ("failed", "", None)


def test_a_fingerprint_changes_with_what_a_key_changes_with(recipe):
    assert fingerprint(recipe()) == fingerprint(recipe())
    different = (recipe(), recipe(seed=1), recipe({**SFT, "epochs": 1}), recipe(max_new_tokens=9))
    assert len({fingerprint(one) for one in different}) == 4


def test_a_fingerprint_covers_the_code_of_the_parts_that_settings_name(recipe, monkeypatch):
    covered = []
    monkeypatch.setattr("whit.recipes.pipeline.code_digest", lambda modules: str(covered.extend(modules)))
    fingerprint(recipe({"kind": "rl", "reward": "format_accuracy"}, {"kind": "sft"}))
    expected = {"stages.rl", "stages.sft", "algorithms.grpo", "rewards.format_accuracy", "objectives.cross_entropy"}
    assert {f"whit.{name}" for name in expected} <= set(covered)


def test_a_damaged_record_of_an_artifact_is_named(recipe, site):
    here, _ = site
    _, done = run_pipeline(recipe(), here)
    (done.path / "artifact.json").write_text("{")
    with pytest.raises(RunError, match=r"artifact\.json is damaged .* Delete it and run again"):
        run_pipeline(recipe(), here)
