"""What a plan asks for beside the pipelines: stops on dev, finalists and trials, where data and budget allow them."""

import json

import pytest

from whit.core.flops import Shape
from whit.recipes.machine import Rates
from whit.study.grid import dev_seconds, estimate
from whit.study.planner import FACTORS, MOST_FINALISTS, _affordable, _with_trials, plan_study
from whit.study.study import Study

SHAPE = Shape(vocab_size=49152, width=576, num_layers=30, num_heads=9, num_kv_heads=3, head_size=64, intermediate=1536)
RATES = Rates(train=1e11, sample=1e11, prompt_tokens=70, own_tokens=30)


def study(**more):
    names = ("a", "b", "c", "d")
    pipelines = [{"name": name, "stage": [{"kind": "sft", "batch_documents": 8}]} for name in names]
    return Study.make({"model": "m", "task": "word_problems", "flops": 1e14, "pipeline": pipelines, **more})


@pytest.fixture
def planned(tiny_model, tmp_path):
    def planned(num_rows, **more):
        path = tmp_path / "data.jsonl"
        rows = [{"prompt": f"{n} + {3 * n}?", "answer": str(4 * n)} for n in range(num_rows)]
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
        return plan_study({"model": str(tiny_model), "task": str(path), "seeds": 2, "flops": 1e12, **more})

    return planned


def test_a_plan_stops_on_dev_chooses_finalists_and_tries_rates(planned):
    plan = planned(600)
    assert plan.study.stop is not None and plan.study.stop.items == 72
    assert (plan.study.finalists, plan.study.trials) == (MOST_FINALISTS, FACTORS)
    said = " ".join(plan.notes)
    assert "dev (72 items, greedy) says where a run stops" in said
    assert "chooses 3 finalists" in said and "every pipeline tries 0.3, 1, 3 times" in said


def test_a_plan_reads_as_text_of_eighty_columns(planned):
    plan = planned(600, price=2.0)
    told = str(plan)
    assert max(map(len, told.splitlines())) <= 80
    words = " ".join(told.split())
    assert all(note in words for note in plan.notes)
    assert "each pipeline may spend 1e+12 FLOPs; " in words and words.endswith(" at 2 an hour")
    assert "Estimate(" not in words


def test_money_is_hours_at_a_price_and_the_price_stays_in_the_plan(planned, monkeypatch):
    asked = []

    def fit(study, rates, shape, items, workers, hours, *, in_money):
        asked.append((hours, in_money))
        return study, items

    monkeypatch.setattr("whit.study.planner.fit_to_hours", fit)
    assert planned(60, flops=None, money=3.0, price=1.5).study.price == 1.5
    planned(60, flops=None, hours=2.0)
    assert asked == [(2.0, True), (2.0, False)]


def test_too_few_dev_rows_choose_nothing(planned):
    plan = planned(60)
    assert (plan.study.stop, plan.study.finalists, plan.study.trials) == (None, None, ())
    assert any("dev examples are too few to choose with" in note for note in plan.notes)


def test_rates_are_tried_only_where_an_eighth_is_enough_steps():
    rich, told = _with_trials(study(stop={}), SHAPE, RATES)
    assert rich.trials == FACTORS and "every pipeline tries" in told
    poor, told = _with_trials(study(stop={}, flops=1e12), SHAPE, RATES)
    assert poor.trials == () and "no learning rates are tried" in told


def test_dev_is_not_asked_where_that_takes_too_much_of_the_hours():
    asked = study(stop={}, finalists=3)
    enough, notes = _affordable(
        asked, ["stops", "finalists"], RATES, SHAPE, seconds=100 * dev_seconds(asked, RATES, SHAPE)
    )
    assert (enough, notes) == (asked, ["stops", "finalists"])
    less, notes = _affordable(asked, ["stops", "finalists"], RATES, SHAPE, seconds=2 * dev_seconds(asked, RATES, SHAPE))
    assert less.stop is None and less.finalists == 3
    assert notes == ["no run stops early: asking dev takes 50 % of these hours; 15 % may be spent", "finalists"]


def test_rounds_are_in_the_estimate():
    """Of four pipelines x 3 seeds, three finalists: 9 runs and 4 to qualify; trials cost 3 / 8 of a run each pipeline."""
    plain, rounds = study(), study(finalists=3)
    assert estimate(rounds, RATES, SHAPE, 200, 2).flops == pytest.approx(
        13 / 12 * estimate(plain, RATES, SHAPE, 200, 2).flops
    )
    tried = study(finalists=3, trials=[0.3, 1, 3])
    more = estimate(tried, RATES, SHAPE, 200, 2).flops - estimate(rounds, RATES, SHAPE, 200, 2).flops
    assert more == pytest.approx(4 * 3 / 8 * 1e14)
