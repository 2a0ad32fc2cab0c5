"""The report of a study: gathered from files alone, told in one page that is safe to open."""

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from whit.core.errors import RunError, UsageError
from whit.report import html
from whit.report.gather import CURVES, gather, pipeline_of
from whit.report.html import render, write_report

HOSTILE = "</script><script>document.title='hacked'</script><img src=x onerror=\"document.title='hacked'\">\u2028 7"
RUNS = {"sft": 2, "sft-rl": 2}


def interval(value):
    return {"estimate": value, "low": value - 0.05, "high": value + 0.05}


def completions(answer, correct, text=HOSTILE):
    return [
        {"id": f"i{i}", "group": f"i{i}", "sample": sample, "greedy": sample == 2, "prompt": f"What is {i}? {HOSTILE}",
         "gold": "7", "completion": text, "answer": answer, "correct": correct, "strict": correct, "has_format": True,
         "status": "ok", "reason": "", "num_tokens": 5, "truncated": False}
        for i in range(3) for sample in range(3)
    ]  # fmt: skip


def write(path, value):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(value if isinstance(value, str) else json.dumps(value))


@pytest.fixture
def study(tmp_path):
    """A study's directory and its store, written by hand."""
    root = tmp_path / "runs"
    directory = root / "study-x"
    write(directory / "study.toml", f'name = "x"\nmodel = "m"\ntask = {json.dumps(HOSTILE)}\nflops = 1e9\nseeds = 2\n')
    rows = [
        {"name": name, "is_trained": True, "is_control": False, "accuracy": interval(0.5), "difference": interval(0.2),
         "strict": 0.4,
         "greedy": 0.5, "format_rate": 1.0, "tokens": 5.0, "truncated": 0.0, "flops": 1e9, "seconds": 3.0, "seeds": 2,
         "outcomes": {"finished": 2}, "median": 0.5, "unspent": 0.0, "flops_from_nothing": 1e9}
        for name in RUNS
    ]  # fmt: skip
    rows.append({**rows[0], "name": "few_shot", "is_trained": False, "difference": interval(-0.2)})
    rows.append({**rows[0], "name": "zero_shot", "is_trained": False, "difference": None, "greedy": float("nan")})
    verdict = {"shortlist": ["sft", "sft-rl"], "recommended": "sft", "sentence": "Undecided.", "by_unit": {
        "flops": "sft", "seconds": "sft-rl"}, "more_seeds": 5, "more_items": None}  # fmt: skip
    write(directory / "leaderboard.json", {
        "rows": rows, "failures": {"few_shot": HOSTILE}, "best": "sft", "best_run": "sft-seed0", "chosen_on": "test",
        "verdict": verdict,
        "num_items": 3, "num_samples": 2, "complete": True, "protocol": "whit-1:0", "rates": {}, "qualified": {},
        "reference": "zero_shot", "looks": 5, "other_looks": 2,
    })  # fmt: skip
    for name, seeds in RUNS.items():
        for seed in range(seeds):
            run = f"{name}-seed{seed}"
            steps = [{"step": i, "progress": i / 300, "cross_entropy": 2 - i / 300, "lr": 1e-4} for i in range(300)]
            write(root / "artifacts" / f"sft-{run}" / "metrics.jsonl", "\n".join(map(json.dumps, steps)))
            rows = completions("8", False) if run != "sft-seed0" else completions("7", True)
            write(root / "artifacts" / f"evaluate-{run}" / "completions.jsonl", "\n".join(map(json.dumps, rows)))
            account = {"train": {"flops": 8e8, "seconds": 2.0, "tokens": 10}}
            write(directory / "runs" / run / "run.json", {
                "name": run, "seed": seed, "outcome": "finished" if seed else "collapsed", "error": "" if seed else HOSTILE,
                "stages": [{"kind": "sft", "path": f"elsewhere/artifacts/sft-{run}", "accounts": account}],
                "score": {"accuracy": [0.5, 0.4, 0.6]}, "score_path": f"elsewhere/artifacts/evaluate-{run}",
                "evaluation": {"accounts": {"evaluate": {"flops": 1e8, "seconds": 1.0, "tokens": 3}}},
            })  # fmt: skip
            write(directory / "runs" / run / "recipe.toml", f'name = "{run}"\n')
    write(
        root / "artifacts" / "evaluate-base" / "completions.jsonl", "\n".join(map(json.dumps, completions("8", False)))
    )
    write(
        directory / "arms" / "zero_shot.json", {"score": {"accuracy": [0.1, 0, 0.2]}, "score_path": "x/evaluate-base"}
    )
    return directory


def test_the_pipeline_of_a_run():
    assert [pipeline_of(name) for name in ("sft-rl-seed12", "a-seed-seed0", "zero_shot")] == [
        "sft-rl",
        "a-seed",
        "zero_shot",
    ]


def test_what_was_recorded_elsewhere_is_found_beside_the_study(study):
    found = gather(study)
    assert [run["name"] for run in found["runs"]] == ["sft-rl-seed0", "sft-rl-seed1", "sft-seed0", "sft-seed1"]
    assert {name for item in found["items"] for name in item["by"]} == {
        *(r["name"] for r in found["runs"]),
        "zero_shot",
    }


def test_curves_are_thinned_to_means(study):
    curve = gather(study)["curves"][0]["stages"][0]["curves"]
    assert curve.keys() == {"cross_entropy"}
    assert curve["cross_entropy"][0] == (pytest.approx(1 / 300, abs=1e-4), pytest.approx(2 - 1 / 300, abs=1e-5))
    assert len(curve["cross_entropy"]) == 100


def test_what_dev_said_of_the_last_stage_is_a_curve(study):
    file = study / "runs" / "sft-seed0" / "run.json"
    record = json.loads(file.read_text())
    record["stopped"] = {"share": "1", "dev": {"0.5": 0.2, "1": 0.4}, "dev_strict": {"0.5": 0.1, "1": 0.3}}
    write(file, record)
    (stage,) = next(run for run in gather(study)["curves"] if run["name"] == "sft-seed0")["stages"]
    assert stage["curves"]["dev_accuracy"] == [(0.5, 0.2), (1.0, 0.4)]
    assert stage["curves"]["dev_strict"] == [(0.5, 0.1), (1.0, 0.3)]


def test_costs_are_those_of_one_run_by_purpose(study):
    costs = {row["pipeline"]: row["purposes"] for row in gather(study)["costs"]}
    assert costs["sft"]["train"]["flops"] == 8e8 and costs["sft"]["evaluate"]["seconds"] == 1.0


def test_gold_that_most_runs_contradict_with_one_voice_is_suspicious(study):
    found = gather(study)["suspicious"]
    assert [(row["id"], row["gold"], row["answer"], row["runs"], row["of"]) for row in found] == [
        (f"i{i}", "7", "8", 3, 4) for i in range(3)
    ]


def test_the_greedy_completion_is_shown(study):
    item = gather(study)["items"][0]
    assert item["by"]["sft-seed0"]["correct"] and not item["by"]["sft-seed1"]["correct"]


def test_a_directory_without_a_study_is_named(tmp_path):
    with pytest.raises(UsageError, match=r"holds no leaderboard\.json and no run\.json: give the directory of a study"):
        write_report(tmp_path)
    write(tmp_path / "study.toml", "")
    with pytest.raises(UsageError, match="its study has not ended"):
        write_report(tmp_path)


def test_a_study_of_an_older_version_is_named(study):
    board = json.loads((study / "leaderboard.json").read_text())
    del board["verdict"]
    write(study / "leaderboard.json", board)
    with pytest.raises(RunError, match="was written by an older whit: run its study again"):
        write_report(study)


def test_the_page_holds_its_data_and_loads_nothing(study):
    page = write_report(study).read_text()
    data = re.search(r'<script type="application/json" id="data">(.*?)</script>', page, re.S)
    assert json.loads(data[1])["runs"] == json.loads(json.dumps(gather(study)["runs"]))
    assert not re.search(r'(src|href)="(https?:)?//', page) and "@import" not in page
    assert "default-src 'none'" in page


def test_nothing_that_a_model_wrote_can_end_the_data(study):
    page = render({**gather(study), "made": HOSTILE, "directory": HOSTILE})
    assert page.count("</script>") == 2
    assert "<script>document.title" not in page and "<img" not in page


def chromium():
    return next(
        (path for name in ("chromium", "chromium-browser", "google-chrome") if (path := shutil.which(name))), None
    )


@pytest.mark.slow  # 3 s: a browser
@pytest.mark.parametrize("width", [390, 1440])
def test_a_browser_draws_it_without_an_error_and_hostile_text_stays_text(study, width, tmp_path):
    browser = chromium()
    if browser is None:
        pytest.skip("no chromium: install Debian's package chromium, or Chrome")
    page = write_report(study, Path(tmp_path / "report.html"))
    done = subprocess.run(
        [browser, "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
         "--disable-background-networking", "--disable-component-update", "--disable-sync", f"--window-size={width},1200",
         f"--user-data-dir={tmp_path / 'profile'}", "--enable-logging=stderr", "--virtual-time-budget=2000", "--dump-dom",
         f"file://{page}"],
        capture_output=True, text=True, timeout=120, check=True,
    )  # fmt: skip
    assert "CONSOLE" not in done.stderr, [line for line in done.stderr.splitlines() if "CONSOLE" in line]
    drawn = done.stdout
    assert "<title>study-x: whit report</title>" in drawn
    assert "Undecided." in drawn and drawn.count('class="item"') == 3 and "3 of 3 problems" in drawn
    assert "The test split was opened for 5 models here, and for 2 others before or beside it" in drawn
    assert "The recommendation changes with the unit: sft by FLOPs, sft-rl by hours and price." in drawn
    for heading in ("Verdict", "Ranking", "Accuracy against cost", "Learning curves", "Costs by purpose",
                    "What went wrong", "Suspicious gold", "Completions", "Resolved recipes"):  # fmt: skip
        assert f">{heading}</h2>" in drawn
    assert "<img" not in drawn.replace("&lt;img", "")
    assert "<td>+20.0 [+15.0, +25.0]*</td>" in drawn and "<td>-20.0 [-25.0, -15.0]*</td>" in drawn


def test_every_curve_that_is_gathered_has_a_name_and_so_a_panel():
    script = (Path(html.__file__).parent / "page" / "report.js").read_text()
    names = script[script.index("const NAMES") : script.index("function panel")]
    assert [key for key in CURVES if f"{key}:" not in names] == []
