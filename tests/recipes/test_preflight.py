"""Pre-flight: what a recipe is checked for before its first step, once for the same content."""

import re

import pytest

from whit.core.errors import DataError, PartError, PreflightError, RunError
from whit.core.files import write_rows
from whit.core.parts import names
from whit.recipes.execute import execute
from whit.recipes.pipeline import Site
from whit.recipes.preflight import preflight
from whit.recipes.preview import preview
from whit.recipes.recipe import Recipe


@pytest.fixture
def recipe(tiny_model, sums):
    def recipe(stage="sft", model=tiny_model, **more):
        return Recipe.make({
            "name": "r", "model": str(model), "task": str(sums), "dtype": "float32", "max_new_tokens": 32,
            "budget": {"flops": 5e8}, "evaluate": {"items": 2, "samples": 1}, **more,
            "stage": [{"kind": stage, **more.pop("settings", {})}] if isinstance(stage, str) else stage,
        })  # fmt: skip

    return recipe


@pytest.fixture
def site(tmp_path):
    return Site(tmp_path / "runs")


def test_checks_that_have_nothing_to_look_at_are_left_out(recipe, site, tiny_model):
    def run(*given, **more):
        return {checked.check for checked in preflight(recipe(*given, **more), site)}

    everything = set(names("check"))
    assert run("sft") == everything - {"logprobs", "signal", "vocabulary"}
    assert run("rl") == everything - {"vocabulary"}
    assert run("kd", teacher=str(tiny_model)) == everything - {"logprobs", "signal"}


@pytest.mark.parametrize("name", ["specialize", "step-by-step", "equations", "socratic"])
def test_recipes_that_begin_with_other_data_are_checked_and_shown(name, site, tiny_model, sums):
    asked = [f"model={tiny_model}", f"task={sums}", "dtype=float32", "max_new_tokens=64"]
    recipe = Recipe.read(name, asked)
    found = {checked.check: checked.status for checked in preflight(recipe, site)}
    assert found.keys() == set(names("check")) - {"logprobs", "signal", "vocabulary"}
    assert found["supervised_tokens"] == found["truncation"] == "ok"
    shown = preview(recipe, 3)
    assert len(shown) == 3 and all(not sample.written and sample.num_supervised for sample in shown)


def test_a_mixture_is_checked_and_shown_and_looked_at_again_when_a_file_changes(recipe, site, tmp_path):
    files = [tmp_path / "rich.jsonl", tmp_path / "simple.jsonl"]
    for file in files:
        write_rows(file, [{"prompt": f"{n} + {n + 1}?", "completion": f"#### {2 * n + 1}"} for n in range(40)])
    mixed = recipe(
        [{"kind": "mix", "sources": [{"path": str(file)} for file in files]}, {"kind": "sft", "source": "traces"}]
    )
    assert not any(checked.is_found for checked in preflight(mixed, site))
    assert "".join(preview(mixed, 1)[0].tokens).endswith("#### 1<|end|>")
    write_rows(files[0], [{"prompt": f"{n} + {n + 1}?", "completion": f"It is #### {2 * n + 1}"} for n in range(40)])
    again = {checked.check for checked in preflight(mixed, site) if not checked.is_found}
    assert {"truncation", "supervised_tokens"} <= again and "verifiers" not in again


def test_what_was_found_is_found_again_until_something_that_it_looked_at_changes(recipe, site):
    first = preflight(recipe(), site)
    assert not any(checked.is_found for checked in first)
    again = preflight(recipe(seed=3, budget={"flops": 2e8}), site)
    assert all(checked.is_found for checked in again)
    assert [c.message for c in again] == [c.message for c in first]
    longer = {checked.check: checked.is_found for checked in preflight(recipe(max_new_tokens=40), site)}
    assert [check for check, is_found in longer.items() if not is_found] == ["truncation"]


def test_a_failed_check_stops_a_run_before_its_first_step(recipe, site, tmp_path):
    masked = recipe([{"kind": "sft", "end_of_turn": False}])
    with pytest.raises(
        PreflightError, match=r"check 'stop_tokens' failed: .* a model that never sees it supervised never"
    ):
        execute(masked, site, tmp_path / "run")
    assert not (tmp_path / "run").exists() and not site.store.all()


def test_unless_the_recipe_ignores_it(recipe, site, tmp_path):
    masked = recipe([{"kind": "sft", "end_of_turn": False}], ignore_checks=["stop_tokens"])
    assert execute(masked, site, tmp_path / "run")["outcome"] == "finished"


def test_a_check_to_ignore_that_is_not_there(recipe, site, tmp_path):
    with pytest.raises(PartError, match=r"no check is called 'stop_token'\. Did you mean 'stop_tokens'"):
        execute(recipe(ignore_checks=["stop_token"]), site, tmp_path / "run")


def test_a_reward_that_raises_is_named_with_its_line_and_no_check_is_blamed(recipe, site, tmp_path):
    (tmp_path / "rw.py").write_text("def broken(verdict, text):\n    raise KeyError('solution')\n")
    rl = recipe([{"kind": "sft"}, {"kind": "rl", "reward": f"{tmp_path / 'rw.py'}:broken"}])
    with pytest.raises(RunError) as raised:
        execute(rl, site, tmp_path / "run")
    told = r"stage\.2\.reward: \S+:broken raised KeyError: 'solution' \(rw\.py, line 2\) for the text '.*'\. Mend it\."
    assert re.fullmatch(told, str(raised.value), re.DOTALL)
    assert not (tmp_path / "run").exists() and not site.store.all()


def test_a_reward_that_raises_on_what_the_model_writes_is_named_too(recipe, site, tmp_path):
    (tmp_path / "rw.py").write_text(
        "def picky(verdict, text):\n    return float(text == 'I do not know.' or text.index('####') + 1)\n"
    )
    with pytest.raises(
        RunError, match=r"^stage\.1\.reward: \S+:picky raised ValueError: substring not found \(rw\.py, line 2\)"
    ):
        preflight(recipe([{"kind": "rl", "reward": f"{tmp_path / 'rw.py'}:picky"}]), site)


def test_what_a_check_itself_raises_is_a_failed_check_with_its_reason(recipe, site, monkeypatch):
    def broken(*_):
        raise KeyError("groups")

    monkeypatch.setattr("whit.preflight.signal.wilson", broken)
    failed = {checked.check: checked.message for checked in preflight(recipe("rl"), site) if checked.status == "failed"}
    assert failed["signal"] == "it could not be made: KeyError: 'groups'"


def test_a_hybrid_without_solutions_is_refused_before_anything_is_trained_or_scored(recipe, site, tmp_path):
    (tmp_path / "bare.csv").write_text("prompt,answer\n" + "".join(f"{n} + {n}?,{2 * n}\n" for n in range(40)))
    bare = recipe("hybrid", task=str(tmp_path / "bare.csv"))
    with pytest.raises(DataError, match=r'form "rationale" that the stage hybrid imitates: .* Set form = "answer"'):
        execute(bare, site, tmp_path / "run")
    assert not (tmp_path / "run").exists()
    answers = recipe([{"kind": "hybrid", "form": "answer"}], task=str(tmp_path / "bare.csv"))
    assert {c.status for c in preflight(answers, site)} <= {"ok", "warning"}


def test_what_is_found_depends_on_the_code_of_the_reward(recipe, site, tmp_path, monkeypatch):
    (tmp_path / "rw.py").write_text("def mine(verdict, text):\n    return 0.0\n")
    covered = []
    monkeypatch.setattr("whit.recipes.preflight.code_digest", lambda modules: str(covered.extend(modules)))
    preflight(recipe([{"kind": "rl", "reward": f"{tmp_path / 'rw.py'}:mine"}]), site)
    assert {str(tmp_path / "rw.py"), "whit.preflight.signal", "whit.algorithms.grpo"} <= set(covered)


@pytest.mark.slow  # 1 s
def test_warnings_are_told_and_recorded(recipe, tmp_path):
    told = []
    run = execute(recipe("rl", budget={"flops": 5e9}), Site(tmp_path / "runs", notify=told.append), tmp_path / "run")
    warned = [line["check"] for line in told if line.get("status") == "warning"]
    recorded = [row["check"] for row in run["checks"]]
    assert "signal" in warned and recorded[: len(warned)] == warned
    # What a guard says while it runs stands behind them.
    said = [line["guard"] for line in told if "guard" in line]
    assert [row["message"] for row in run["checks"][len(warned) :]] == said and "has_no_signal" in recorded


def test_a_teacher_that_no_stage_asks_is_not_looked_for(recipe, site):
    assert preflight(recipe("sft", teacher="nowhere"), site)


def test_a_model_made_from_nothing_has_nothing_to_check(site):
    assert preflight(Recipe.make({"name": "r", "task": "word_problems", "stage": [{"kind": "pretrain"}]}), site) == []
