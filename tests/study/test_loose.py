"""Runs that no study planned: compared to the first, and nothing is recommended."""

import json
from pathlib import Path

import pytest

from whit.core.errors import RunError, UsageError
from whit.report.gather import gather_runs
from whit.study.loose import compare_runs, described, read_runs

ITEMS, SAMPLES = 12, 2


@pytest.fixture
def run(tmp_path):
    """A run's directory as `whit run` leaves it, with its evaluation in the store beside it."""

    def run(name, num_correct, seed=0, *, directory="", items=ITEMS, lr=1e-4, **more):
        label = directory or f"{name}-{seed}abc"
        scores = tmp_path / "artifacts" / f"evaluate-{label}"
        scores.mkdir(parents=True)
        records = [
            {"id": f"i{i}", "group": f"i{i}", "prompt": f"{i}?", "gold": "7", "sample": s, "greedy": False, "answer": "7",
             "correct": i < num_correct, "strict": True, "completion": "7", "truncated": False, "num_tokens": 1}
            for i in range(items) for s in range(SAMPLES)
        ]  # fmt: skip
        (scores / "completions.jsonl").write_text("".join(json.dumps(record) + "\n" for record in records))
        record = {
            "name": name, "seed": seed, "outcome": "finished", "error": "", "protocol": "whit-1:a", "stopped": None,
            "stages": [{"kind": "sft", "flops": 1e9, "seconds": 2.0, "path": "", "accounts": {}}],
            "score": {"accuracy": [num_correct / items, 0, 1], "num_samples": SAMPLES},
            "score_path": f"elsewhere/artifacts/evaluate-{label}", **more,
        }  # fmt: skip
        made = tmp_path / label
        made.mkdir(parents=True)
        (made / "run.json").write_text(json.dumps(record))
        (made / "recipe.toml").write_text(
            f'name = "{name}"\nmodel = "m"\ntask = "gsm8k"\nseed = {seed}\n[budget]\nflops = 2e9\n'
            f'[[stage]]\nkind = "{name}"\nlr = {lr}\n'
        )
        return made

    return run


def test_seeds_of_one_recipe_are_one_row_and_differences_are_to_the_first(run):
    runs = read_runs([run("sft", 3), run("sft", 4, 1), run("rl", 8), run("rl", 9, 1)])
    assert list(runs) == ["sft-seed0", "sft-seed1", "rl-seed0", "rl-seed1"]
    board = compare_runs(runs)
    assert board.reference == "sft" and [row.name for row in board.rows] == ["rl", "sft"]
    rl, sft = board.rows
    assert sft.difference is None and rl.difference is not None
    assert rl.difference.estimate == pytest.approx(5 / ITEMS)
    assert (rl.seeds, rl.flops, rl.seconds, board.num_items, board.num_samples) == (2, 1e9, 2.0, ITEMS, SAMPLES)
    assert board.verdict.recommended is None and "nothing is recommended" in board.verdict.sentence


def test_one_seed_of_each_has_no_difference(run):
    board = compare_runs(read_runs([run("sft", 3), run("rl", 8)]))
    assert [row.difference for row in board.rows] == [None, None]
    assert "One seed of each cannot decide" in board.verdict.sentence
    assert "One pipeline" in compare_runs(read_runs([run("kd", 3)])).verdict.sentence


def test_recipes_of_one_name_that_differ_are_two_pipelines(run):
    low = [run("sft", 3, seed, directory=f"low{seed}", lr=1e-4) for seed in (0, 1)]
    high = [run("sft", 8, seed, directory=f"high{seed}", lr=1e-2) for seed in (0, 1)]
    board = compare_runs(read_runs([*low, *high]))
    assert [row.seeds for row in board.rows] == [2, 2]
    assert len({row.name for row in board.rows}) == 2 and all(row.name.startswith("sft-") for row in board.rows)
    assert board.rows[0].difference is not None and board.rows[0].difference.estimate == pytest.approx(5 / ITEMS)


def test_one_directory_under_two_names_is_one_run_and_one_seed_twice_is_refused(run, tmp_path, monkeypatch):
    first = run("sft", 3)
    monkeypatch.chdir(tmp_path)
    assert list(read_runs([first, Path(first.name)])) == ["sft-seed0"]
    with pytest.raises(UsageError, match="are one recipe and one seed: leave one of them out"):
        read_runs([first, run("sft", 4, directory="again")])


def test_what_loose_runs_have_in_common(run):
    runs = read_runs([run("sft", 3), run("sft", 4, 1), run("rl", 8)])
    assert described(runs) == {"name": "runs", "model": "m", "task": "gsm8k", "flops": 2e9, "seeds": "1 to 2"}


def test_a_report_is_made_of_runs_alone(run):
    runs = read_runs([run("sft", 3), run("rl", 8)])
    files = {label: directory / "run.json" for label, (directory, _) in runs.items()}
    found = gather_runs(described(runs), compare_runs(runs).to_plain(), files, {})
    assert [row["name"] for row in found["runs"]] == ["sft-seed0", "rl-seed0"]
    assert found["study"]["flops"] == 2e9 and found["items"][0]["by"].keys() == runs.keys()


def test_what_cannot_be_compared_is_named(run, tmp_path):
    first = run("sft", 3)
    with pytest.raises(UsageError, match=r"holds no run\.json and no recipe\.toml: give directories of runs"):
        read_runs([first, tmp_path])
    with pytest.raises(RunError, match="was not scored"):
        read_runs([run("failed", 3, score=None)])
    with pytest.raises(RunError, match=r"judged by different protocols \(whit-1:a, whit-1:b\)"):
        compare_runs(read_runs([first, run("rl", 3, protocol="whit-1:b")]))
    with pytest.raises(RunError, match=r"on other items than sft-seed0 \(2 are missing\)"):
        compare_runs(read_runs([first, run("kd", 3, items=ITEMS - 2)]))
    other = run("other", 3, directory="other")
    (other / "recipe.toml").write_text((other / "recipe.toml").read_text().replace("gsm8k", "svamp"))
    with pytest.raises(RunError, match=r"these runs differ in task \(gsm8k, svamp\), so they cannot be compared"):
        compare_runs(read_runs([first, other]))
    old = run("old", 3)
    record = json.loads((old / "run.json").read_text())
    del record["protocol"]
    (old / "run.json").write_text(json.dumps(record))
    with pytest.raises(RunError, match=r"written by another version of whit \(no protocol\)"):
        read_runs([old])
