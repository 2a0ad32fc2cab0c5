"""The leaderboard is made from run directories alone; these are written by hand."""

import json
import math

import pytest

from whit.core.errors import DataError, RunError
from whit.study.compare import compare, difference
from whit.study.study import Study

ITEMS, SAMPLES = 20, 2
STUDY = Study.make({
    "model": "m", "task": "word_problems", "flops": 1e9, "seeds": 2, "arms": ["zero_shot"],
    "evaluate": {"samples": SAMPLES},
    "pipeline": [{"name": "sft", "stage": [{"kind": "sft"}]}, {"name": "rl", "stage": [{"kind": "rl"}]}],
})  # fmt: skip


@pytest.fixture
def write(tmp_path):
    """Writes an arm or a run of `num_correct` of the items, as `execute` and the worker do."""

    def write(name, num_correct, seed=None, items=ITEMS, outcome="finished"):
        label = name if seed is None else f"{name}-seed{seed}"
        scores = tmp_path / "scores" / label
        scores.mkdir(parents=True)
        records = [
            {"id": name, "group": name, "sample": s, "greedy": False, "answer": "7", "correct": i < num_correct}
            for i, name in enumerate(f"item-{i}" for i in range(items))
            for s in range(SAMPLES)
        ]
        (scores / "completions.jsonl").write_text("".join(json.dumps(record) + "\n" for record in records))
        share = num_correct / items
        summary = {
            "accuracy": [share, 0, 1],
            "strict": [share / 2, 0, 1],
            "greedy_accuracy": [share, 0, 1],
            "tokens": 9.0,
        }
        record = {"name": name, "score": summary, "score_path": str(scores)}
        path = tmp_path / "arms" / f"{name}.json"
        if seed is not None:
            stages = [{"flops": 1e9 + seed, "seconds": 2.0}, {"flops": 1e9, "seconds": 1.0}]
            record |= {"outcome": outcome, "stages": stages}
            path = tmp_path / "runs" / label / "run.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(record))
        return path

    return write


def test_rows_stand_best_first_with_their_differences_to_the_untrained_model(write, tmp_path):
    write("zero_shot", 4)
    for seed in (0, 1):
        write("sft", 16 + seed, seed)
        write("rl", 5 - seed, seed)
    board = compare(STUDY, tmp_path)
    assert [row.name for row in board.rows] == ["sft", "rl", "zero_shot"]
    sft, rl, start = board.rows
    assert (sft.accuracy.estimate, rl.accuracy.estimate, start.accuracy.estimate) == (0.825, 0.225, 0.2)
    assert sft.difference is not None and rl.difference is not None
    assert sft.difference.estimate == pytest.approx(0.625)
    assert (sft.is_better, rl.is_better, start.is_better) == (True, False, False)
    assert start.difference is None
    assert (board.best, board.best_run, board.chosen_on) == ("sft", "sft-seed1", "test")
    assert (board.num_items, board.num_samples, board.complete) == (20, 2, True)
    assert (sft.flops, sft.seconds, sft.seeds) == (2e9 + 0.5, 3.0, 2)
    assert math.isnan(sft.format_rate)  # no data is not zero


def test_a_study_under_way_is_incomplete(write, tmp_path):
    write("zero_shot", 4)
    alone = compare(STUDY, tmp_path)
    assert (alone.complete, alone.best, alone.best_run) == (False, None, None)
    write("rl", 6, 1)
    board = compare(STUDY, tmp_path)
    assert (board.complete, board.best_run, board.rows[0].seeds) == (False, "rl-seed1", 1)


def test_an_arm_that_cannot_be_scored_is_named_and_leaves_the_study_complete(write, tmp_path):
    study = STUDY.model_copy(update={"arms": ("zero_shot", "few_shot")})
    write("zero_shot", 4)
    for name in ("sft", "rl"):
        for seed in (0, 1):
            write(name, 6, seed)
    assert not compare(study, tmp_path).complete
    (tmp_path / "arms" / "few_shot.json").write_text(json.dumps({"name": "few_shot", "error": "too long"}))
    board = compare(study, tmp_path)
    assert (board.complete, board.failures) == (True, {"few_shot": "too long"})


def test_failed_and_collapsed_seeds_count_with_their_last_score_and_are_named(write, tmp_path):
    write("zero_shot", 4)
    write("rl", 12, 0)
    write("rl", 4, 1, outcome="collapsed")
    row = compare(STUDY, tmp_path).rows[0]
    assert (row.accuracy.estimate, row.outcomes) == (0.4, {"collapsed": 1, "finished": 1})


def test_what_a_failed_stage_spent_and_what_texts_cost_is_in_the_prices(write, tmp_path):
    write("zero_shot", 4)
    for seed in (0, 1):
        run = write("rl", 5, seed)
        record = json.loads(run.read_text())
        record["lost"] = {"flops": 4e9, "seconds": 7.0}
        record["stages"][0]["outcome"] = {"texts": {"kept": 3, "flops": 5e9}}
        run.write_text(json.dumps(record))
    row = compare(STUDY, tmp_path).rows[0]
    assert (row.flops, row.seconds, row.flops_from_nothing) == (6e9 + 0.5, 10.0, 11e9 + 0.5)


def test_models_scored_on_the_test_split_are_counted(write, tmp_path):
    write("zero_shot", 4)
    write("rl", 5, 0)
    for name, model in (("zero_shot", "base"), ("rl-seed0", "rl"), ("evaluate-by-hand", "other")):
        facts = {"settings": {"task": "gsm8k", "split": "test"}, "inputs": {"model": model, "task": ""}}
        (tmp_path / "scores" / name).mkdir(exist_ok=True)
        (tmp_path / "scores" / name / "artifact.json").write_text(json.dumps({"facts": facts}))
    board = compare(STUDY, tmp_path)
    assert (board.looks, board.other_looks) == (2, 1)


def test_the_median_stands_beside_a_mean_that_a_collapse_drags(write, tmp_path):
    study = STUDY.model_copy(update={"seeds": 3})
    write("zero_shot", 4)
    for seed, correct in enumerate((12, 14, 1)):
        write("rl", correct, seed, outcome="collapsed" if correct == 1 else "finished")
    row = compare(study, tmp_path).rows[0]
    assert (row.accuracy.estimate, row.median) == (pytest.approx(0.45), pytest.approx(0.6))


def test_runs_that_were_judged_by_different_protocols_are_not_compared(write, tmp_path):
    write("zero_shot", 4)
    run = write("rl", 4, 0)
    run.write_text(json.dumps({**json.loads(run.read_text()), "protocol": "whit-1:ab"}))
    with pytest.raises(RunError, match=r"judged by different protocols \(none, whit-1:ab\)"):
        compare(STUDY, tmp_path)


def test_a_record_that_was_edited_by_hand_is_named(write, tmp_path):
    write("zero_shot", 4)
    run = write("rl", 4, 0)
    run.write_text(run.read_text().replace('"accuracy": [0.2', '"accuracy": [0.9'))
    with pytest.raises(RunError, match=r"rl-seed0: its record says 90\.00 % and its completions 20\.00 %"):
        compare(STUDY, tmp_path)


def test_the_seed_that_is_exported_is_chosen_on_dev_where_runs_stop_there(write, tmp_path):
    write("zero_shot", 4)
    for seed, (correct, on_dev) in enumerate(((16, 0.5), (12, 0.7))):
        run = write("sft", correct, seed)
        stopped = {"share": "1", "dev": {"0.5": 0.9, "1": on_dev}, "unspent_flops": 0.0, "flops": 1.0}
        run.write_text(json.dumps({**json.loads(run.read_text()), "stopped": stopped}))
    board = compare(STUDY, tmp_path)
    assert (board.best_run, board.chosen_on) == ("sft-seed1", "dev")  # though seed 0 does better on test


def test_a_control_stands_in_the_table_and_is_no_candidate(write, tmp_path):
    rl = STUDY.pipeline[1].model_copy(update={"control": True, "first_seed": 5})
    study = STUDY.model_copy(update={"pipeline": (STUDY.pipeline[0], rl)})
    write("zero_shot", 4)
    for seed in (0, 1):
        write("sft", 12, seed)
        write("rl", 20, 5 + seed)
    board = compare(study, tmp_path)
    assert [(row.name, row.is_control) for row in board.rows] == [("rl", True), ("sft", False), ("zero_shot", False)]
    assert (board.best, board.verdict.shortlist, board.complete) == ("sft", ("sft",), True)
    assert difference(study, tmp_path, "rl", "sft").estimate == pytest.approx(0.4)


def test_without_the_untrained_model_there_is_nothing_to_compare_with(write, tmp_path):
    write("rl", 12, 0)
    with pytest.raises(RunError, match="the untrained model is not scored yet"):
        compare(STUDY, tmp_path)


def test_runs_scored_on_other_items_are_not_compared(write, tmp_path):
    write("zero_shot", 4)
    write("rl", 4, 0, items=15)
    with pytest.raises(RunError, match=r"rl-seed0 was scored on other items than zero_shot \(5 are missing\)"):
        compare(STUDY, tmp_path)


def test_a_damaged_record_is_named(write, tmp_path):
    write("zero_shot", 4)
    run = write("rl", 4, 0)
    run.write_text(run.read_text()[:30])
    with pytest.raises(RunError, match=r"rl-seed0/run\.json is damaged .* Delete it and run again"):
        compare(STUDY, tmp_path)


def test_a_damaged_line_of_completions_is_named(write, tmp_path):
    write("zero_shot", 4)
    completions = tmp_path / "scores" / "zero_shot" / "completions.jsonl"
    completions.write_text(completions.read_text()[:-9])
    with pytest.raises(DataError, match=r"completions\.jsonl, line 40: not JSON"):
        compare(STUDY, tmp_path)


def test_one_seed_gives_scores_but_no_differences_of_trainings(write, tmp_path):
    write("zero_shot", 4)
    write("few_shot", 8)
    write("rl", 12, 0)
    both_arms = STUDY.model_copy(update={"arms": ("zero_shot", "few_shot"), "seeds": 1})
    rl, few_shot, _ = compare(both_arms, tmp_path).rows
    assert rl.accuracy.low < 0.6 < rl.accuracy.high
    assert rl.difference is None
    assert few_shot.difference is not None
