"""A study on this machine: what is finished is kept whatever dies, and one command goes from a file to a model."""

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace

import pytest

from whit.core.errors import UsageError
from whit.core.rundir import Store
from whit.recipes.pipeline import Site
from whit.study.executors.local import run_jobs
from whit.study.grid import write_study
from whit.study.jobs import plan_jobs
from whit.study.run import is_recorded, run_study
from whit.study.study import Study
from whit.study.worker import do

SFT = {"kind": "sft", "batch_documents": 4, "optim": {"lr": 1e-3}}
RL = {"kind": "rl", "prompts_per_step": 2, "algorithm": {"name": "grpo", "group_size": 2}}
# A stage of the user's own: it fails, or its process dies.
STAGE = """
import os
from whit.core.rundir import Run

def breaks(start, run: Run, *, how: str = "raises"):
    if how == "dies":
        os.kill(os.getpid(), 9)
    raise ZeroDivisionError("as it was told to")
"""


@pytest.fixture
def make(tiny_model, sums):
    def make(*pipelines, **more):
        specs = [{"name": name, "stage": stages} for name, stages in pipelines]
        return Study.make({
            "model": str(tiny_model), "task": str(sums), "flops": 1.5e8, "seeds": 1, "dtype": "float32",
            "max_new_tokens": 6, "arms": ["zero_shot"], "evaluate": {"samples": 2}, "pipeline": specs,
            "ignore_checks": ["truncation"],
            **more,
        })  # fmt: skip

    return make


@pytest.mark.slow  # 15 s: three workers
def test_a_worker_that_dies_is_a_recorded_failure_and_the_study_goes_on(make, tmp_path):
    (tmp_path / "mine.py").write_text(STAGE)
    mine = f"{tmp_path / 'mine.py'}:breaks"
    study = make(("dies", [{**SFT}, {"kind": mine, "how": "dies"}]), ("raises", [{"kind": mine}]), ("sft", [SFT]))
    events = []
    outcome = run_study(
        study, tmp_path / "study", tmp_path / "runs", workers=1, watch=lambda job, event: events.append((job.id, event))
    )
    board = outcome.leaderboard
    assert board.complete
    assert {row.name: row.outcomes for row in board.rows if row.is_trained} == {
        "dies": {"failed": 1}, "raises": {"failed": 1}, "sft": {"finished": 1},
    }  # fmt: skip
    died = json.loads((tmp_path / "study" / "runs" / "dies-seed0" / "run.json").read_text())
    assert died["error"].startswith("the worker died (status -9, out of memory?); see ")
    assert [stage["kind"] for stage in died["stages"]] == ["sft"]  # what it had reached is scored
    raised = json.loads((tmp_path / "study" / "runs" / "raises-seed0" / "run.json").read_text())
    assert raised["error"] == "ZeroDivisionError: as it was told to"
    assert raised["model"] == study.model
    # Run again: nothing is tried a second time.
    run_study(study, tmp_path / "study", tmp_path / "runs", workers=1, watch=lambda *_: pytest.fail("ran again"))


@pytest.mark.slow  # 4 s
def test_a_request_that_is_wrong_as_written_stops_the_study(make, tmp_path):
    study = make(("mixed", [{**RL, "kind": "hybrid", "algorithm": "ppo"}]))  # which the stage alone finds out
    with pytest.raises(UsageError, match="run-mixed-0: stage hybrid: one update a batch and no critic"):
        run_study(study, tmp_path / "study", tmp_path / "runs", workers=1)


@pytest.mark.slow  # 15 s: two studies
def test_a_killed_study_loses_no_finished_stage(make, tmp_path):
    study = make(("sft-rl", [SFT, RL]), ("sft", [SFT]))
    write_study(tmp_path / "study.toml", study)
    command = [sys.executable, "-m", "whit.cli.main", "study", "study.toml", "--workers", "1", "--device", "cpu"]
    process = subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.PIPE, stdout=subprocess.PIPE)
    store, runs = Store(tmp_path / "runs" / "artifacts"), tmp_path / "runs" / "study-study" / "runs"
    deadline = time.monotonic() + 60
    while not list(runs.glob("*/run.json")) and time.monotonic() < deadline:
        time.sleep(0.05)
    os.kill(process.pid, signal.SIGKILL)
    process.communicate()
    time.sleep(1)  # its worker notices at its next word
    before = {artifact.key: (artifact.path / "artifact.json").stat().st_mtime_ns for artifact in store.all()}
    assert before
    again = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
    assert "runs are finished; going on." in again.stderr
    after = {artifact.key: (artifact.path / "artifact.json").stat().st_mtime_ns for artifact in store.all()}
    assert before.items() <= after.items()
    assert not list(store.root.glob("*.partial"))
    assert again.stdout.splitlines()[-1] == "runs/study-study/report.html"
    assert len(list(runs.glob("*/run.json"))) == 2


def test_what_a_study_records_stands_until_its_settings_data_or_model_change(make, tmp_path, sums):
    data = tmp_path / "data.jsonl"
    data.write_text(sums.read_text())
    study = make(("sft", [SFT]), task=str(data))
    directory = tmp_path / "study"
    arm, run = plan_jobs(study)
    for job in (arm, run):
        assert not is_recorded(job, directory, study)
        do(job.to_plain(), study, directory, Site(tmp_path / "runs"))
    assert is_recorded(arm, directory, study) and is_recorded(run, directory, study)
    longer = study.model_copy(update={"max_new_tokens": 7})
    assert not is_recorded(arm, directory, longer) and not is_recorded(run, directory, longer)
    more = study.model_copy(update={"flops": 2e8})
    assert not is_recorded(run, directory, more)
    data.write_text(sums.read_text().replace('"0 + 1?"', '"0 plus 1?"'))
    assert not is_recorded(arm, directory, study) and not is_recorded(run, directory, study)


@pytest.mark.slow  # 3 s
def test_a_worker_that_cannot_start_says_where_to_look(make, tmp_path):
    study = make(("sft", [SFT]))
    job = replace(plan_jobs(study)[0], id="arm")
    tmp_path.joinpath("study.toml").write_text("not a study")
    events = run_jobs([job], tmp_path, tmp_path, workers=1, threads=1, device="cpu", watch=lambda *_: None)
    assert "see " in events["arm"]["error"] and "worker-0.log" in events["arm"]["error"]
    assert "is not valid TOML" in (tmp_path / "worker-0.log").read_text()


@pytest.mark.slow  # 15 s
def test_from_a_file_to_a_leaderboard_and_a_model_that_transformers_runs(whit, make, tmp_path):
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    study = make(("sft", [SFT]), ("sft-rl", [SFT, RL]), seeds=2)
    write_study(tmp_path / "sums.toml", study)
    said = whit("study", "sums.toml", "--workers", "1", "--device", "cpu")
    assert said.code == 0, said.err
    assert said.out.splitlines()[-1] == "runs/study-sums/report.html"
    assert "INCOMPLETE" not in said.out
    board = json.loads((tmp_path / "runs" / "study-sums" / "leaderboard.json").read_text())
    assert board["complete"] and len(board["rows"]) == 3
    assert all(row["seeds"] == 2 and row["difference"] for row in board["rows"] if row["is_trained"])

    exported = tmp_path / "runs" / "study-sums" / "exported"
    assert (exported / "README.md").read_text().startswith("---\nlibrary_name: transformers")
    assert not (exported / "artifact.json").exists()
    tokenizer = AutoTokenizer.from_pretrained(exported)
    model = AutoModelForCausalLM.from_pretrained(exported, dtype=torch.float32)
    turns = [{"role": "user", "content": "3 + 4?"}]
    prompt = tokenizer.apply_chat_template(turns, add_generation_prompt=True, tokenize=False)
    ids = torch.tensor([tokenizer(prompt, add_special_tokens=False)["input_ids"]])
    with torch.no_grad():
        theirs = model.generate(ids, do_sample=False, max_new_tokens=24)[0, ids.shape[1] :].tolist()
    while theirs and theirs[-1] == tokenizer.eos_token_id:
        theirs.pop()
    ours = whit(
        "generate", exported, "3 + 4?", "--max-new-tokens", 24, "--dtype", "float32", "--device", "cpu", "--json"
    )
    assert json.loads(ours.out)[0]["completions"][0]["text"] == tokenizer.decode(theirs).strip()
    assert theirs
