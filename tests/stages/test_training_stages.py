"""Every training stage: what it writes, what it spends, and that a seed decides everything."""

import json
from dataclasses import replace

import pytest
import torch
from stage_runs import (
    BUDGET,
    EACH_CASE,
    GROUPS,
    REWARDS,
    SMALL,
    flops_of,
    metrics,
    perform,
    perform_case,
    weights_hash,
)
from transformers import GenerationConfig

from whit.core.errors import BudgetError, DataError, RecipeError, RunError
from whit.core.files import read_rows
from whit.core.types import Group, Rollout, Segment, Verdict
from whit.data.render import Renderer
from whit.data.tokenizer import train_tokenizer
from whit.models.load import Policy, load_policy
from whit.prompting.zero_shot import zero_shot
from whit.stages._task import load_task
from whit.stages.kd import rewritten
from whit.testing.run import tiny_run
from whit.testing.tiny import SENTENCES, tiny_decoder

EACH = pytest.mark.parametrize("case", EACH_CASE)


@EACH
def test_the_same_seed_gives_the_same_weights(case, tiny_model, sums, tmp_path):
    one, two = (perform_case(case, tiny_model, sums, tmp_path / name) for name in "ab")
    assert weights_hash(one) == weights_hash(two)
    assert flops_of(one) == flops_of(two)


@EACH
def test_another_seed_gives_other_weights(case, tiny_model, sums, tmp_path):
    one, two = (perform_case(case, tiny_model, sums, tmp_path / str(seed), seed=seed) for seed in (0, 1))
    assert weights_hash(one) != weights_hash(two)


@EACH
def test_an_artifact_is_a_model_with_its_ledger_and_metrics(case, tiny_model, sums, tmp_path):
    artifact = perform_case(case, tiny_model, sums, tmp_path / "a")
    facts, lines = artifact.facts(), metrics(artifact)
    assert facts["outcome"]["updates"] == sum("tokens" in line for line in lines) >= 2
    assert 0.5 * BUDGET < flops_of(artifact) <= BUDGET
    assert lines[-1]["flops"] == pytest.approx(flops_of(artifact), rel=1e-5)
    assert [line["progress"] for line in lines] == sorted(line["progress"] for line in lines)
    assert all(0 <= line["progress"] < 1 for line in lines)
    assert all(account["seconds"] > 0 for account in facts["ledger"]["accounts"].values())
    before, after = (load_policy(path).decoder.state_dict() for path in (tiny_model, artifact.path))
    assert before.keys() == after.keys()
    assert not all(torch.equal(before[name], after[name].float()) for name in before)
    assert not list(artifact.path.glob("checkpoint*"))


@pytest.mark.parametrize(
    ("case", "purposes"),
    [
        ("sft", {"train"}),
        ("kd", {"train", "teacher"}),
        ("kd on teacher text", {"train", "teacher", "sample"}),
        ("rl", {"train", "sample"}),
        ("rl with two updates", {"train", "sample", "prepass"}),
        ("rl with a reference", {"train", "sample", "reference"}),
    ],
)
def test_what_is_computed_is_charged_under_its_purpose(case, purposes, tiny_model, sums, tmp_path):
    artifact = perform_case(case, tiny_model, sums, tmp_path / "a")
    accounts = artifact.facts()["ledger"]["accounts"]
    assert {purpose for purpose, account in accounts.items() if account["flops"] > 0} == purposes


@EACH
def test_a_budget_below_one_step_is_refused(case, tiny_model, sums, tmp_path):
    with pytest.raises(BudgetError):
        perform_case(case, tiny_model, sums, tmp_path / "a", budget=1e4)


def test_epochs_end_a_stage_before_its_budget(tiny_model, sums, tmp_path):
    artifact = perform("sft", tiny_model, tiny_run(tmp_path / "a", 1e12, task=str(sums)), **SMALL, epochs=0.5)
    assert [line["supervised_tokens"] > 0 for line in metrics(artifact)] == [True] * 5  # 20 of 40 examples, by fours


def test_a_schedule_runs_over_the_epochs_when_they_end_before_the_budget(tiny_model, sums, tmp_path):
    settings = {**SMALL, "optim": {"lr": 1e-2, "schedule": "linear", "warmup": 0.0}, "epochs": 1}
    run = tiny_run(tmp_path / "a", 1e12, task=str(sums))
    rates = [line["lr"] for line in metrics(perform("sft", tiny_model, run, **settings))]
    assert rates == pytest.approx([1e-2 * (1 - step / 10) for step in range(10)], rel=1e-5)


def test_a_trained_model_names_every_stop_token_for_other_tools(tiny_model, sums, tmp_path):
    artifact = perform_case("sft", tiny_model, sums, tmp_path / "a")
    policy = load_policy(artifact.path)
    renderer = Renderer(policy.tokenizer, max_length=256)
    assert GenerationConfig.from_pretrained(artifact.path).eos_token_id == sorted(renderer.stop_ids)
    assert renderer.end_of_turn in policy.stop_ids


def test_a_collapse_is_recorded_and_the_weights_before_it_are_kept(tiny_model, sums, tmp_path):
    settings = {**SMALL, "optim": {"lr": 1e300, "warmup": 0.0}}
    artifact = perform("sft", tiny_model, tiny_run(tmp_path / "a", BUDGET, task=str(sums)), **settings)
    assert "step 2" in artifact.facts()["outcome"]["collapsed"]
    assert len(metrics(artifact)) == 1


def test_rationales_are_needed_where_they_are_asked_for(tiny_model, tmp_path):
    task = tmp_path / "bare.jsonl"
    task.write_text("".join(json.dumps({"prompt": f"{n} + 1?", "answer": str(n + 1)}) + "\n" for n in range(40)))
    with pytest.raises(DataError, match='source = "answers"'):
        perform("sft", tiny_model, tiny_run(tmp_path / "a", BUDGET, task=str(task)), **SMALL)


@pytest.fixture
def accepting(sums, tmp_path):
    """The sums with a verifier that accepts every text."""
    (tmp_path / "rewards.py").write_text(REWARDS)
    return {"name": str(sums), "verifier": f"{tmp_path / 'rewards.py'}:anything"}


OWN = {**SMALL, "source": "own", "own_samples": 2, "own_prompts": 8}


def test_own_completions_that_end_and_are_accepted_are_trained_on(tiny_model, accepting, tmp_path):
    kept = []
    run = tiny_run(tmp_path / "a", 1e9, task=accepting, max_new_tokens=60, notify=kept.append)
    artifact = perform("sft", tiny_model, run, **OWN, own_share=0.3)
    accounts = artifact.facts()["ledger"]["accounts"]
    assert 0.3e9 <= accounts["sample"]["flops"] < 0.4e9
    assert accounts["train"]["flops"] > 0.5e9
    assert max(line.get("kept", 0) for line in kept) > 0


def test_without_an_accepted_completion_own_fails(tiny_model, sums, tmp_path):
    run = tiny_run(tmp_path / "a", 1e8, task=str(sums))
    with pytest.raises(RunError, match=r"none of .* sampled completions was accepted"):
        perform("sft", tiny_model, run, **OWN)


def test_on_policy_steps_leave_cross_entropy_out(tiny_model, sums, tmp_path):
    teacher = str(tiny_model)
    run = tiny_run(tmp_path / "a", BUDGET, task=str(sums), teacher=teacher)
    lines = metrics(perform("kd", tiny_model, run, **SMALL, on_policy=1.0))
    assert {line["on_policy"] for line in lines} == {1.0}
    assert {line["cross_entropy"] for line in lines} == {0.0}
    assert lines[0]["forward_kl"] == pytest.approx(0.0, abs=1e-12)  # the student starts as the teacher


def test_distillation_brings_the_student_to_its_teacher(tiny_model, sums, tmp_path):
    lines = metrics(perform_case("kd", tiny_model, sums, tmp_path / "a", budget=1e9))
    assert lines[-1]["forward_kl"] < 0.85 * lines[0]["forward_kl"]


def test_a_file_of_texts_is_a_teacher_on_the_prompts_of_the_training_split(tiny_model, sums, tmp_path):
    rows = [*read_rows(sums)]
    texts = tmp_path / "texts.jsonl"
    texts.write_text(
        "".join(json.dumps({"prompt": r["prompt"], "completion": f"It is {r['answer']}."}) + "\n" for r in rows)
    )
    run = tiny_run(tmp_path / "a", 1e12, task=str(sums), teacher=str(texts))
    artifact = perform("kd", tiny_model, run, **SMALL, epochs=1)
    assert len(metrics(artifact)) == 40 / 4  # the texts of dev and test are left out
    assert set(artifact.facts()["ledger"]["accounts"]) == {"train"}


def test_of_a_file_of_texts_the_right_and_finished_ones_can_be_kept_and_the_others_are_counted(
    tiny_model, sums, tmp_path
):
    answers = {0: "1", 1: "8", 2: "5", 3: "7", 59: "119"}  # 1 + 2 is not 8, and 59 + 60 is of the test split
    rows = [{"prompt": f"{n} + {n + 1}?", "completion": f"#### {answer}"} for n, answer in answers.items()]
    rows[2]["finish"], rows[3]["finish"] = "length", "stop"
    rows.append({"prompt": "4 + 5?", "completion": " "})
    rows = [{**row, "flops": 1e9} for row in rows]
    texts = tmp_path / "texts.jsonl"
    texts.write_text("".join(json.dumps(row) + "\n" for row in rows))
    left = {}
    for keep in ("all", "correct"):
        run = tiny_run(tmp_path / keep, 1e12, task=str(sums), teacher=str(texts))
        artifact = perform("kd", tiny_model, run, **SMALL, epochs=1, keep=keep)
        left[keep] = artifact.facts()["outcome"]["texts"]
    assert left["all"] == {
        "kept": 3,
        "empty": 1,
        "cut_off": 1,
        "refused": 0,
        "other_prompts": 1,
        "too_long": 0,
        "flops": 6e9,
    }
    assert left["correct"] == {
        "kept": 2,
        "empty": 1,
        "cut_off": 1,
        "refused": 1,
        "other_prompts": 1,
        "too_long": 0,
        "flops": 6e9,
    }


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"prompt": "0 + 1?"}\n', "row 1"),
        ('{"prompt": "?", "completion": "1"}\n', "none of its 1 texts can be learned from: 1 answer no prompt"),
        ('{"prompt": "0 + 1?", "completion": "1", "finish": "length"}\n', "1 were cut off"),
    ],
)
def test_texts_that_cannot_teach_are_refused(text, message, tiny_model, sums, tmp_path):
    (tmp_path / "texts.jsonl").write_text(text)
    run = tiny_run(tmp_path / "a", BUDGET, task=str(sums), teacher=str(tmp_path / "texts.jsonl"))
    with pytest.raises(DataError, match=message):
        perform("kd", tiny_model, run, **SMALL)


def test_a_teacher_s_text_is_learnt_as_the_student_is_asked_and_only_what_it_ended(tiny_model, sums):
    policy = load_policy(tiny_model)
    renderer = Renderer(policy.tokenizer, max_length=256)
    example = load_task(str(sums)).take("train")[0]
    asked = Segment(tuple(policy.tokenizer("Question: in another template")["input_ids"]), "prompt")
    rollout = Rollout((asked, Segment((5, 6), "policy")), "It is 1.", "stop", Verdict(True), 1.0)
    cut = replace(rollout, finish="length")
    expected = [(zero_shot(example), renderer.document(zero_shot(example), "It is 1."))]
    assert rewritten(renderer, [Group(example, (rollout, cut))]) == expected
    wrong = replace(rollout, text="It is 7.", verdict=Verdict(False))
    assert rewritten(renderer, [Group(example, (rollout, wrong))], "correct") == expected


def test_what_was_given_is_not_the_teacher_s_to_keep(tiny_model, sums, tmp_path):
    run = tiny_run(tmp_path / "a", BUDGET, task=str(sums), teacher=str(tiny_model))
    for settings in ({}, {"text": "teacher", "on_policy": 1.0}):
        with pytest.raises(RecipeError, match="chooses among what the teacher writes, and here it writes nothing"):
            perform("kd", tiny_model, run, **SMALL, keep="correct", **settings)


@pytest.mark.parametrize(
    "settings", [{"on_policy": 0.5}, {"text": "teacher"}, {"terms": [{"objective": "reverse_kl"}]}]
)
def test_a_file_of_texts_refuses_what_it_cannot_follow(settings, tiny_model, sums, tmp_path):
    (tmp_path / "texts.jsonl").write_text('{"prompt": "0 + 1?", "completion": "1"}\n')
    run = tiny_run(tmp_path / "a", BUDGET, task=str(sums), teacher=str(tmp_path / "texts.jsonl"))
    with pytest.raises(RecipeError, match="is a file of texts"):
        perform("kd", tiny_model, run, **SMALL, **settings)


@pytest.mark.slow  # 2 s
def test_a_prompt_that_a_batch_holds_twice_is_sampled_once(tiny_model, sums, tmp_path):
    settings = {**GROUPS, "prompts_per_step": 90, "algorithm": {"name": "grpo", "group_size": 2}}
    run = tiny_run(tmp_path / "a", 4e9, task=str(sums), max_new_tokens=4)
    lines = metrics(perform("rl", tiny_model, run, **settings))
    assert 40 * 2 < lines[0]["supervised_tokens"] <= 40 * 2 * 4  # the training split holds 40 prompts


def test_distillation_needs_a_teacher(tiny_model, sums, tmp_path):
    with pytest.raises(RecipeError, match="there is no teacher"):
        perform("kd", tiny_model, tiny_run(tmp_path / "a", BUDGET, task=str(sums)), **SMALL)


def test_a_teacher_that_writes_other_tokens_is_refused(tiny_model, sums, tmp_path):
    other = train_tokenizer(reversed(SENTENCES[:1]), vocab_size=290, max_length=256)
    Policy(tiny_decoder(vocab_size=len(other), dtype=torch.float32), other, tmp_path).save(tmp_path / "other")
    run = tiny_run(tmp_path / "a", BUDGET, task=str(sums), teacher=str(tmp_path / "other"))
    with pytest.raises(RecipeError, match="different tokenizers"):
        perform("kd", tiny_model, run, **SMALL)


def test_on_policy_distillation_needs_a_term_that_asks_the_teacher(tiny_model, sums, tmp_path):
    run = tiny_run(tmp_path / "a", BUDGET, task=str(sums), teacher=str(tiny_model))
    with pytest.raises(RecipeError, match="needs a term that asks a live teacher"):
        perform("kd", tiny_model, run, **SMALL, on_policy=0.5, terms=[{"objective": "cross_entropy"}])


@pytest.mark.parametrize("sampling", [{"top_p": 0.9}, {"top_k": 5}, {"temperature": 0.0}])
def test_rl_refuses_sampling_that_its_ratio_does_not_know(sampling, tiny_model, sums, tmp_path):
    with pytest.raises(RecipeError, match=rf"stage\.1\.sampling\.{next(iter(sampling))}: given .* the stage rl needs"):
        perform("rl", tiny_model, tiny_run(tmp_path / "a", BUDGET, task=str(sums)), sampling=sampling)


def test_engine_and_trainer_agree_on_the_log_probabilities(tiny_model, sums, tmp_path):
    lines = metrics(perform_case("rl", tiny_model, sums, tmp_path / "a"))
    assert max(line["mismatch"] for line in lines) < 1e-6  # nats a token; the run is in float64


@pytest.mark.parametrize("updates", [1, 2])
def test_a_first_update_on_fresh_rollouts_has_ratio_one(updates, tiny_model, sums, tmp_path):
    case = "rl" if updates == 1 else "rl with two updates"
    first = metrics(perform_case(case, tiny_model, sums, tmp_path / "a"))[0]
    if updates == 1:  # minus the mean advantage of whole groups
        assert first["clipped_surrogate"] == pytest.approx(0.0, abs=1e-6)
    assert first["equal_groups"] < 1.0


def test_a_reference_that_is_the_start_model_costs_nothing_at_first(tiny_model, sums, tmp_path):
    lines = metrics(perform_case("rl with a reference", tiny_model, sums, tmp_path / "a"))
    assert lines[0]["reference_kl"] == pytest.approx(0.0, abs=1e-9)
    assert lines[-1]["reference_kl"] > 0


@pytest.mark.slow  # 4 s
@pytest.mark.parametrize("seed", [0, 1])
def test_a_reward_that_can_be_learnt_goes_up(seed, tiny_model, sums, tmp_path):
    (tmp_path / "rewards.py").write_text(REWARDS)
    run = tiny_run(tmp_path / "a", 3e9, seed=seed, task=str(sums), dtype="float32")
    settings = {"reward": f"{tmp_path / 'rewards.py'}:digits", "prompts_per_step": 4, "optim": {"lr": 1e-2}}
    rewards = [line["reward"] for line in metrics(perform("rl", tiny_model, run, **settings))]
    assert sum(rewards[-3:]) > 2 * sum(rewards[:3])
