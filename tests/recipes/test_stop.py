"""Stopping on dev: earlier weights are kept, dev chooses among them, and the choice is charged and recorded."""

import json
from pathlib import Path

import pytest
from safetensors.torch import load_file

from whit.core.rundir import snapshot
from whit.recipes.execute import execute
from whit.recipes.pipeline import Site, run_pipeline
from whit.recipes.recipe import Recipe
from whit.recipes.stop import stop_on_dev

SFT = {"kind": "sft", "batch_documents": 4, "optim": {"lr": 1e-3}}
AT = (0.25, 0.5)


@pytest.fixture
def recipe(tiny_model, sums):
    def recipe(*stages, stop=True, **more):
        return Recipe.make({
            "name": "r", "model": str(tiny_model), "task": str(sums), "dtype": "float32", "max_new_tokens": 5,
            "ignore_checks": ["truncation"], "budget": {"flops": 4e8}, "evaluate": {"items": 4, "samples": 1},
            "stage": list(stages) or [SFT], **({"stop": {"at": AT}} if stop else {}), **more,
        })  # fmt: skip

    return recipe


@pytest.fixture
def site(tmp_path):
    return Site(tmp_path / "runs")


@pytest.fixture
def dev(monkeypatch):
    """Dev accuracies in the order in which the times are asked: shares ascending, the whole budget last."""

    def dev(*accuracies, items=60):
        told = iter(accuracies)

        def score(artifact, recipe, site, *, samples, split):
            assert (samples, split) == (0, "dev")
            ledger = {"accounts": {"evaluate": {"flops": 10.0, "seconds": 1.0, "tokens": 1}}, "limit_flops": None}
            accuracy = next(told)
            summary = {"num_items": items, "greedy_accuracy": [accuracy, 0, 1], "greedy_strict": [accuracy / 2, 0, 1]}
            return type("Score", (), {"summary": summary, "ledger": ledger})

        monkeypatch.setattr("whit.recipes.stop.score", score)

    return dev


def weights(path):
    return load_file(path / "model.safetensors")["model.norm.weight"]


def test_the_last_stage_keeps_its_weights_at_shares_of_its_budget(recipe, site):
    _, first, last = run_pipeline(recipe(SFT, SFT), site)
    assert not list(first.path.glob("snapshot-*"))
    kept = [json.loads((snapshot(last.path, share) / "snapshot.json").read_text()) for share in AT]
    total = last.facts()["ledger"]["accounts"]["train"]["flops"]
    assert [row["share"] for row in kept] == list(AT)
    assert 0 < kept[0]["flops"] < kept[1]["flops"] < total
    assert all(row["flops"] >= row["share"] * 0.95 * total for row in kept)
    times = [weights(snapshot(last.path, share)) for share in AT] + [weights(last.path)]
    assert len({tuple(w.tolist()) for w in times}) == 3


def test_keeping_weights_does_not_change_the_training(recipe, site):
    plain = run_pipeline(recipe(stop=False), site)[-1]
    kept = run_pipeline(recipe(), site)[-1]
    assert plain.key != kept.key
    assert weights(plain.path).equal(weights(kept.path))


def test_adapters_are_merged_into_a_copy(recipe, site):
    stage = {**SFT, "lora": {"rank": 2}}
    plain = run_pipeline(recipe(stage, stop=False), site)[-1]
    kept = run_pipeline(recipe(stage), site)[-1]
    assert weights(plain.path).equal(weights(kept.path))
    assert (snapshot(kept.path, 0.25) / "model.safetensors").exists()


@pytest.mark.parametrize(
    ("accuracies", "share"),
    [
        ((0.1, 0.2, 0.3), "1"),
        ((0.1, 0.3, 0.2), "0.5"),
        ((0.3, 0.3, 0.2), "0.25"),
        ((0.0, 0.0, 0.0), "1"),
        ((0.1, 0.3, 0.29), "1"),
    ],
)
def test_an_earlier_time_is_taken_where_it_does_better_by_more_than_chance(accuracies, share, recipe, site, dev):
    dev(*accuracies)
    last = run_pipeline(recipe(), site)[-1]
    chosen, record = stop_on_dev(last, recipe(), site)
    assert record["share"] == share and record["dev"] == dict(zip(("0.25", "0.5", "1"), accuracies, strict=True))
    assert record["dev_strict"] == {share: accuracy / 2 for share, accuracy in record["dev"].items()}
    assert chosen.path == (last.path if share == "1" else snapshot(last.path, float(share)))
    assert [path.name for path in last.path.glob("snapshot-*")] == ([] if share == "1" else [f"snapshot-{share}"])
    assert (record["flops"], record["seconds"]) == (30.0, 3.0)
    assert (record["unspent_flops"] > 0) == (share != "1")
    assert stop_on_dev(last, recipe(), site) == (chosen, record)  # and nothing is asked again


def test_too_few_dev_items_choose_nothing_and_say_so(recipe, site, dev):
    dev(0.9, 0.1, 0.1, items=8)
    last = run_pipeline(recipe(), site)[-1]
    chosen, record = stop_on_dev(last, recipe(), site)
    assert chosen == last
    assert record["note"] == "nothing was chosen: 8 dev items are too few, 50 are needed"


def test_a_run_is_scored_with_the_weights_that_were_taken(recipe, site, dev, tmp_path):
    dev(0.1, 0.3, 0.2)
    run = execute(recipe(), site, tmp_path / "run")
    assert Path(run["model"]).name == "snapshot-0.5"
    assert run["stopped"]["share"] == "0.5" and run["score"]["num_items"] == 4
    assert (Path(run["model"]) / "model.safetensors").exists()
    again = execute(recipe(), site, tmp_path / "run")
    assert again == run
