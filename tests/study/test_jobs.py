"""A study as jobs: what is shared is done once, and what is done does not depend on how it was interrupted."""

from dataclasses import replace

import pytest

from whit.core.errors import BudgetError, RecipeError
from whit.core.flops import Shape, causal_pairs, forward_flops
from whit.recipes.machine import Rates
from whit.study.grid import (
    choose_pipelines,
    dearest_start,
    estimate,
    fit_to_hours,
    smallest_budgets,
    unique_flops,
    with_batches,
)
from whit.study.jobs import plan_jobs
from whit.study.resources import choose_workers
from whit.study.study import Study

SFT, KD, RL = ({"kind": kind} for kind in ("sft", "kd", "rl"))
SHAPE = Shape(vocab_size=1000, width=64, num_layers=2, num_heads=4, num_kv_heads=4, head_size=16, intermediate=128)
RATES = Rates(train=1e9, sample=5e8, prompt_tokens=50, own_tokens=20)


def study(*pipelines, **more):
    specs = [{"name": name, "stage": stages} for name, stages in pipelines]
    return Study.make({"model": "m", "task": "word_problems", "flops": 9e9, "seeds": 2, "pipeline": specs, **more})


def smallest_budget(whole, shape, rates):
    return dearest_start(whole, shape, rates)[1]


def ids(jobs):
    return [job.id for job in jobs]


def test_a_shared_prefix_is_one_job_that_both_pipelines_wait_for():
    jobs = plan_jobs(study(("sft-rl", [SFT, RL]), ("sft-kd", [SFT, KD]), seeds=1))
    assert ids(jobs)[3:] == ["prefix-sft-rl-1-0", "run-sft-rl-0", "run-sft-kd-0"]
    assert {job.after for job in jobs if job.kind == "run"} == {("prefix-sft-rl-1-0",)}


def test_a_prefix_of_two_stages_waits_for_the_prefix_of_one():
    jobs = {job.id: job for job in plan_jobs(study(("a", [SFT, KD, RL]), ("b", [SFT, KD, SFT]), seeds=1))}
    assert jobs["prefix-a-2-0"].after == ("prefix-a-1-0",)
    assert jobs["run-b-0"].after == ("prefix-a-2-0",)


def test_prefixes_with_other_settings_or_another_share_are_not_shared():
    other_rate = {"kind": "sft", "optim": {"lr": 1e-3}}
    jobs = plan_jobs(study(("a", [SFT, RL]), ("b", [other_rate, RL]), ("c", [{**SFT, "share": 3.0}, RL]), seeds=1))
    assert sum(job.kind == "prefix" for job in jobs) == 3


def test_a_whole_pipeline_that_is_the_prefix_of_another_at_the_same_budget_is_not_trained_twice():
    # sft alone spends three thirds, as the first stage of sft-rl one half: they are different trainings.
    jobs = plan_jobs(study(("sft", [SFT]), ("sft-rl", [SFT, RL]), seeds=1))
    assert ids(jobs)[3:] == ["run-sft-0", "prefix-sft-rl-1-0", "run-sft-rl-0"]


def test_arms_come_first_and_then_whole_seeds():
    jobs = plan_jobs(study(("sft", [SFT]), ("rl", [RL])))
    assert ids(jobs) == [
        "arm-zero_shot", "arm-few_shot", "arm-majority@8", "run-sft-0", "run-rl-0", "run-sft-1", "run-rl-1",
    ]  # fmt: skip


def test_a_shared_prefix_is_counted_once():
    assert unique_flops(study(("a", [SFT, RL]), ("b", [SFT, KD]), seeds=1)) == 1.5 * 9e9
    assert unique_flops(study(("a", [SFT, RL]), ("b", [KD, SFT]), seeds=1)) == 2 * 9e9


@pytest.mark.parametrize(
    ("has_rationales", "has_teacher", "names"),
    [
        (True, True, ["kd", "kd-rl", "rl", "sft", "sft-kd-rl", "sft-rl"]),
        (True, False, ["rl", "sft", "sft-rl"]),
        (False, True, ["kd", "kd-rl", "rl", "sft-answers", "sft-answers-rl", "sft-own"]),
        (False, False, ["rl", "sft-answers", "sft-answers-rl", "sft-own"]),
    ],
)
def test_the_pipelines_that_the_data_allow_and_a_note_for_each_of_the_others(has_rationales, has_teacher, names):
    chosen, notes = choose_pipelines(has_rationales=has_rationales, has_teacher=has_teacher)
    assert [pipeline["name"] for pipeline in chosen] == names
    assert len(chosen) + len(notes) == 9
    study_of_them = study(*((p["name"], p["stage"]) for p in chosen))
    assert len(study_of_them.pipeline) == len(names)
    if not has_teacher:
        assert any(note.startswith("kd: left out, there is no teacher (--teacher DIR") for note in notes)
    if not has_rationales:
        assert "sft: left out, the task has no rationales" in notes


def test_two_pipelines_of_one_name_are_refused():
    with pytest.raises(RecipeError, match="two pipelines are called 'a'"):
        study(("a", [SFT]), ("a", [RL]))


def test_a_wrong_setting_names_its_pipeline():
    with pytest.raises(
        RecipeError, match=r"pipeline 'a': stage\.2\.prompts_per_stp: there is no setting .* Did you mean"
    ):
        study(("a", [SFT, {"kind": "rl", "prompts_per_stp": 4}]))


def test_a_study_fills_its_hours():
    whole = study(("sft", [SFT]), ("rl", [RL]))
    fitted, items = fit_to_hours(whole, RATES, SHAPE, 500, workers=2, hours=2)
    seconds = estimate(fitted, RATES, SHAPE, items, workers=2).seconds
    assert seconds == pytest.approx(0.85 * 2 * 3600, rel=0.02)
    assert fit_to_hours(whole, RATES, SHAPE, 500, workers=2, hours=4)[0].flops > 2 * fitted.flops


def test_scoring_takes_at_most_a_third_of_short_hours():
    whole = study(("sft", [SFT]), ("rl", [RL]))
    _, items = fit_to_hours(whole, RATES, SHAPE, 500_000, workers=1, hours=1)
    fitted, _ = fit_to_hours(whole, RATES, SHAPE, 500_000, workers=1, hours=1)
    cost = estimate(fitted, RATES, SHAPE, items, workers=1)
    assert items < 500_000
    assert cost.evaluate_seconds <= 0.36 * cost.seconds / 0.99


def test_a_batch_is_the_largest_that_leaves_twenty_steps_and_what_is_named_stays():
    def chosen(flops, *stages):
        whole = study(("a", list(stages))).model_copy(update={"flops": flops})
        return [stage.settings for stage in with_batches(whole, SHAPE, RATES).pipeline[0].stage]

    one = smallest_budget(study(("sft", [{**SFT, "batch_documents": 1}])), SHAPE, RATES)
    assert chosen(20 * 32.01 * one, SFT) == [{"batch_documents": 32}]
    assert chosen(20 * 31.99 * one, SFT) == [{"batch_documents": 16}]
    assert chosen(1.0, SFT) == [{"batch_documents": 8}]
    assert chosen(1.0, {**SFT, "batch_documents": 50}, RL) == [{"batch_documents": 50}, {"prompts_per_step": 2}]


def test_the_smallest_budget_gives_every_stage_its_first_step():
    alone = smallest_budget(study(("sft", [SFT])), SHAPE, RATES)
    assert smallest_budget(study(("sft", [{**SFT, "batch_documents": 64}])), SHAPE, RATES) == 2 * alone
    rl = smallest_budget(study(("rl", [{"kind": "rl", "prompts_per_step": 16}])), SHAPE, RATES)
    assert 4 * alone < rl == 2 * smallest_budget(study(("rl", [{"kind": "rl", "prompts_per_step": 8}])), SHAPE, RATES)
    both = study(("sft-rl", [{**SFT, "share": 1}, {"kind": "rl", "prompts_per_step": 16, "share": 3}]))
    assert smallest_budget(both, SHAPE, RATES) == max(4 * alone, rl * 4 / 3)


@pytest.mark.parametrize("hours", [0.0, 1e-5, 0.005])
def test_too_few_hours_say_how_many_are_needed(hours):
    whole = study(("sft", [SFT]), ("rl", [RL]))
    with pytest.raises(
        BudgetError, match=r"about [\d.]+ hours are needed\. Raise --hours, take fewer --seeds"
    ) as caught:
        fit_to_hours(whole, Rates(1e7, 1e7, 50, 20), SHAPE, 500, workers=1, hours=hours)
    needed = float(str(caught.value).partition("about ")[2].split()[0])
    fit_to_hours(whole, Rates(1e7, 1e7, 50, 20), SHAPE, 500, workers=1, hours=1.1 * needed + 0.1)


def test_workers_are_one_a_core_as_far_as_memory_holds():
    assert choose_workers(3, SHAPE) == 3
    assert choose_workers(0, SHAPE, "cuda") == 1
    assert choose_workers(0, replace(SHAPE, width=100_000, num_layers=100)) == 1


def test_two_views_of_an_example_cost_twice_and_a_stage_that_asks_no_model_nothing():
    once, twice, made = (
        smallest_budgets(study(("a", stages)).recipe("a", 0), SHAPE, RATES)
        for stages in (
            [{**SFT, "batch_documents": 8}],
            [{"kind": "step_by_step", "batch_documents": 8}],
            [{"kind": "specialize"}, {**SFT, "source": "traces", "batch_documents": 8}],
        )
    )
    assert twice == [2 * once[0]] and made == [0.0, once[0]]


def test_a_space_that_has_to_be_built_needs_a_larger_budget_and_a_kept_one_does_not(tmp_path):
    def needed(rates=RATES, **space):
        stage = {"kind": "sft", "source": "answers", "batch_documents": 8, "space": space}
        return smallest_budgets(study(("a", [stage])).recipe("a", 0), SHAPE, rates)[0]

    plain = needed(compression=0.0, selection=0.0)
    prompt = forward_flops(SHAPE, RATES.prompt_tokens, 0, causal_pairs(RATES.prompt_tokens))
    assert needed(contexts=10) == pytest.approx(plain + 50 * prompt)  # for and against each of two labels, and plain
    assert needed(contexts=10, pairs="examples") == pytest.approx(plain + 40 * prompt)
    assert needed(space=str(tmp_path)) == plain
    read = replace(RATES, num_labels=77, num_texts=1000)
    assert needed(read, contexts=2) == pytest.approx(plain + (2 + 2 * 2 * 77 + 250) * prompt)  # and a probe
    assert needed(read, contexts=2, understanding=[0]) == pytest.approx(plain + (2 + 2 * 2 * 77) * prompt)
    assert needed(read, contexts=20, pairs="examples", compression=0.0) == pytest.approx(plain + 1000 * prompt)
