"""What is shown while a study or a run goes on: the stage, what fits on a line, and no time that nobody can know."""

import pytest

from whit.cli._show import StageView, Ticker, time_left
from whit.cli.study import _Watch, fitting
from whit.study.jobs import Job
from whit.study.study import Study

RUN = Job("run-kd-rl-0", "run", "kd-rl", 0, 2)


@pytest.fixture
def shown(monkeypatch):
    """The lines that would be rewritten in place."""
    lines = []
    monkeypatch.setattr(Ticker, "show", lambda _, text: lines.append(text))
    return lines


@pytest.fixture
def clock(monkeypatch):
    now = [0.0]
    monkeypatch.setattr("time.monotonic", lambda: now[0])
    return now


def watch(ahead=4.0):
    stages = [{"kind": "kd"}, {"kind": "rl"}]
    pipelines = [{"name": "kd-rl", "stage": stages}, {"name": "sft", "stage": [{"kind": "sft"}]}]
    study = Study.make({"model": "m", "task": "word_problems", "flops": 1e9, "pipeline": pipelines, "teacher": "t"})
    return _Watch(study, total=5, finished=0, ahead=ahead)


def progress(stage, share, **more):
    return {"event": "progress", "stage": stage, "progress": share, **more}


def test_a_run_of_several_stages_says_which_one_it_is_in(shown):
    see = watch()
    see(RUN, progress(1, 1.0))
    see(RUN, progress(2, 0.07))
    see(Job("run-sft-0", "run", "sft", 0, 1), progress(1, 0.5))
    assert shown[0].endswith("kd-rl seed 0, stage 1 of 2: 100 %")
    assert shown[2].endswith("kd-rl seed 0, stage 2 of 2: 7 %  sft seed 0: 50 %")


def test_a_stage_that_was_found_is_no_progress(shown):
    watch()(RUN, progress(1, 1.0, found=True))
    assert shown == []


def test_no_time_left_is_told_before_a_training_is_done(shown, clock):
    see = watch()
    see(Job("arm-zero_shot", "arm", "zero_shot"), {"event": "done", "outcome": "finished", "accuracy": [0, 0, 0]})
    clock[0] = 100.0
    see(RUN, progress(1, 0.0))
    clock[0] = 150.0
    see(RUN, progress(1, 0.2))
    assert not any("left" in line for line in shown)
    clock[0] = 300.0  # half of one of four runs in 200 s
    see(RUN, progress(2, 0.0))
    assert "about 23 min left" in shown[-1]


def test_jobs_that_do_not_fit_the_line_are_counted(shown):
    assert fitting(["1/9", "a seed 0: 5 %", "b seed 0: 7 %"], 40) == "1/9  a seed 0: 5 %  b seed 0: 7 %"
    assert fitting(["1/9", "a seed 0: 5 %", "b seed 0: 7 %"], 30) == "1/9  a seed 0: 5 %  +1 more"


def test_a_time_left_is_told_once_a_part_is_measured():
    assert time_left(60.0, 0.01, 0.99) == ""
    assert time_left(1.0, 0.5, 0.5) == ""
    assert time_left(60.0, 0.5, 0.5) == "about 60 s left"


def test_one_pipeline_shows_its_stage_its_share_and_its_loss(shown):
    StageView(2)({"stage": 2, "kind": "rl", "progress": 0.07, "reward": 0.25})
    assert shown[0].startswith("stage 2 of 2 (rl)   7 %  reward 0.250")
