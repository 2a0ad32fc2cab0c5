"""Every library recipe of RL, alone or with solutions, runs to its end on a tiny model. Its rewards are drawn."""

import pytest

from whit.core.rundir import read_metrics
from whit.recipes.pipeline import Site, run_pipeline
from whit.recipes.recipe import Recipe, library
from whit.stages._kinds import GROUPS

RL = sorted(name for name in library() if all(stage.kind in GROUPS for stage in Recipe.read(name).stage))
BUDGET = 3e9


@pytest.mark.parametrize("name", RL)
def test_it_runs_to_its_end_within_its_budget(name, tiny_model, sums, tmp_path):
    changes = [f"model={tiny_model}", f"task={sums}", f"budget.flops={BUDGET}", "max_new_tokens=12",
               "stage.1.prompts_per_step=2", "stage.1.reward=random_control"]  # fmt: skip
    recipe = Recipe.read(name, changes)
    (_, artifact) = run_pipeline(recipe, Site(tmp_path))
    assert artifact.facts()["outcome"]["updates"] >= 2
    accounts = artifact.facts()["ledger"]["accounts"]
    assert sum(account["flops"] for account in accounts.values()) <= BUDGET
    lines = read_metrics(artifact.path / "metrics.jsonl")
    assert all(0 <= line["reward"] <= 1 for line in lines) or name in ("dapo", "tldr")  # they shape it
    assert any(line["grad_norm"] > 0 for line in lines if "grad_norm" in line)
