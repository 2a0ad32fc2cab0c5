"""Every command on the tiny model: results on stdout, progress on stderr, the last line says where."""

import json
import math
import re
import tomllib
from pathlib import Path
from typing import get_type_hints

import pytest

from whit.cli.inspect import _coloured
from whit.cli.main import app
from whit.cli.parts import setting_lines
from whit.cli.run import shortfalls
from whit.core.errors import SandboxError
from whit.core.files import read_rows
from whit.core.parts import PACKAGES, find, names, options
from whit.core.settings import all_settings
from whit.testing.server import Reply, chat, scored, serve

SMALL = (
    'ignore_checks=["truncation"]', "dtype=float32", "max_new_tokens=4",
    "evaluate.items=6", "evaluate.samples=2", "stage.1.batch_documents=4",
    "budget.flops=5e7",
)  # fmt: skip


@pytest.fixture
def run(whit, tiny_model, sums):
    """`whit run sft` of a few steps, with other overrides and options."""

    def run(*more):
        said = whit("run", "sft", f"model={tiny_model}", f"task={sums}", *SMALL, *more, "--device", "cpu")
        assert said.code == 0, said.err
        return said

    return run


def last(text: str) -> str:
    return text.strip().splitlines()[-1]


# One pipeline.


def test_run_trains_scores_and_records(run):
    said = run()
    stage, accuracy, directory = said.out.strip().splitlines()
    assert stage.startswith("sft ") and "FLOPs" in stage
    assert accuracy.startswith("accuracy") and "%" in accuracy and accuracy.endswith("6 items")
    record = json.loads((Path(directory) / "run.json").read_text())
    assert (record["outcome"], record["error"], record["seed"]) == ("finished", "", 0)
    assert 0 < record["stages"][0]["flops"] <= 5e7
    assert Path(record["model"], "model.safetensors").exists() and record["model"] in stage
    assert Path(record["score_path"], "completions.jsonl").exists()
    assert (Path(directory) / "recipe.toml").exists()


def test_run_as_json_is_the_record_and_nothing_else(run):
    result = json.loads(run("--json").out)
    record = json.loads((Path(result.pop("directory")) / "run.json").read_text())
    assert result == record
    assert record["score"]["num_items"] == 6


def test_a_run_that_could_hardly_learn_is_remarked(run):
    warned = " ".join(run("stage.1.epochs=0.2", "budget.flops=5e8").err.split())
    assert "warning: stage 1 (sft) made only 2 updates, and 20 are the least to learn from." in warned
    assert "% of the budget is unspent" in warned
    used = [{"kind": "sft", "flops": 9e8, "outcome": {"updates": 30}}, {"kind": "mix", "flops": 0.0, "outcome": {}}]
    assert list(shortfalls(used, 1e9)) == []
    assert ["22 %" in line for line in shortfalls(used, 9e8 / 0.78)] == [True]


def test_run_again_finds_what_it_made(run, tmp_path):
    first = run()
    made = {path: path.stat().st_mtime_ns for path in (tmp_path / "runs" / "artifacts").glob("*/artifact.json")}
    again = run()
    assert again.out == first.out
    assert "found, made earlier" in again.err
    assert made == {path: path.stat().st_mtime_ns for path in (tmp_path / "runs" / "artifacts").glob("*/artifact.json")}


def test_run_goes_where_it_is_told(run, tmp_path):
    directory = Path(last(run("--runs", tmp_path / "elsewhere").out))
    assert directory.parent == tmp_path / "elsewhere"
    assert not (tmp_path / "runs").exists()


def test_a_run_in_two_stages_from_a_file(whit, tiny_model, sums, tmp_path):
    (tmp_path / "two.toml").write_text(f"""
        name = "two"
        model = "{tiny_model}"
        task = "{sums}"
        dtype = "float32"
        max_new_tokens = 4
        ignore_checks = ["truncation"]
        budget = {{ flops = 1e8 }}
        evaluate = {{ items = 6, samples = 2 }}
        [[stage]]
        kind = "sft"
        batch_documents = 4
        [[stage]]
        kind = "rl"
        prompts_per_step = 2
        algorithm = {{ name = "grpo", group_size = 2 }}
    """)
    said = whit("run", "two.toml", "--device", "cpu")
    assert [line.split()[0] for line in said.out.splitlines()][:3] == ["sft", "rl", "accuracy"]
    spent = [float(line.split()[1]) for line in said.out.splitlines()[:2]]
    assert 0.5e8 < sum(spent) <= 1e8


def test_plan_says_what_a_recipe_costs_and_makes_nothing(whit, tiny_model, sums, tmp_path):
    asked = ("plan", "sft-rl", f"model={tiny_model}", f"task={sums}", "budget.flops=9e9")
    said = whit(*asked)
    assert said.code == 0
    lines = said.out.strip().splitlines()
    assert [line.split(")")[0] for line in lines[:2]] == ["stage 1 (sft", "stage 2 (rl"]
    assert lines[-1].startswith("in all 9e+09 FLOPs") and "peak memory" in lines[-1]
    facts = json.loads(whit(*asked, "--json").out)
    assert sum(stage["flops"] for stage in facts["stages"]) == pytest.approx(9e9)
    assert list(tmp_path.iterdir()) == []


# Models.


def test_evaluate_scores_a_model(whit, tiny_model, sums):
    asked = ("evaluate", tiny_model, "--task", sums, "--samples", 2, "--max-new-tokens", 4, "--dtype", "float32")
    said = whit(*asked, "--device", "cpu", "--json")
    assert said.code == 0, said.err
    result = json.loads(said.out)
    summary = result["summary"]
    assert (summary["num_items"], summary["num_samples"]) == (12, 2)
    for share in ("accuracy", "strict", "format_rate", "greedy_accuracy", "pass@2", "majority@2"):
        estimate, low, high = summary[share]
        assert 0 <= low <= estimate <= high <= 1
    records = [json.loads(line) for line in Path(result["path"], "completions.jsonl").read_text().splitlines()]
    assert len(records) == 12 * (2 + 1)
    plain = whit(*asked, "--device", "cpu").out.splitlines()
    assert len(plain[:-1]) == len(summary) and not any("_" in line[:24] for line in plain[:-1])
    assert plain[1].startswith("accuracy, lenient") and plain[2].startswith("accuracy, strict")
    assert plain[-1] == result["path"]


def test_a_task_can_be_a_table_in_every_command_that_takes_one(whit, tiny_model, sums, tmp_path):
    table = f'{{name = "{sums}", verifier = "exact_text", answer_format = "hash"}}'
    fast = ("--max-new-tokens", 4, "--dtype", "float32", "--device", "cpu")
    said = whit("evaluate", tiny_model, "--task", table, "--items", 2, "--samples", 0, *fast)
    assert said.code == 0, said.err
    shown = {tuple(line.split()) for line in said.out.splitlines()}
    assert {("verifier", "exact_text"), ("answer", "format", "hash")} <= shown
    asked = (("write", tiny_model, "t.jsonl", "--items", 1, *fast), ("attention", tiny_model, "--items", 1, *fast[-2:]),
             ("cache", tiny_model, "kept", "--student", tiny_model, "--items", 1, *fast[-2:]))  # fmt: skip
    for command in asked:
        said = whit(*command, "--task", table)
        assert said.code == 0, said.err
    said = whit("study", "--model", tiny_model, "--task", table, "--flops", "1e9", "--plan", "--device", "cpu")
    assert "answers are judged by 'exact_text', with the answer format 'hash'" in " ".join(said.err.split())
    said = whit("doctor", tiny_model, table, "--device", "cpu", "--json")
    assert "verifiers" in {row["check"] for row in json.loads(said.out)}


def test_evaluate_takes_the_task_of_a_run_where_none_is_given(run, whit, tiny_model):
    directory = Path(last(run("task.answer_format=hash").out))
    fast = ("--items", 2, "--samples", 0, "--max-new-tokens", 4, "--json")
    for model in (directory, json.loads((directory / "run.json").read_text())["model"]):
        said = whit("evaluate", model, *fast)
        assert said.code == 0, said.err
        assert json.loads(said.out)["summary"]["answer_format"] == "hash"
        assert "task of the run: { " in said.err
    said = whit("evaluate", tiny_model, *fast)
    assert said.code == 2 and "Only the directory of a run has a task of its own." in said.error


def test_what_was_found_in_a_file_is_said_once(run, whit, tiny_model, sums):
    told = "all answers are numbers: judged by 'exact_number', with the answer format 'boxed'"
    fast = ("--items", 2, "--samples", 0, "--max-new-tokens", 4, "--device", "cpu")
    for said in (
        run(),
        whit("evaluate", tiny_model, "--task", sums, *fast),
        whit("doctor", "sft", f"model={tiny_model}", f"task={sums}", "--device", "cpu"),
    ):
        found = " ".join(said.err.split())
        assert found.count(told) == found.count("40 train, 8 dev and 12 test examples") == 1


def test_items_that_are_too_long_for_the_context_are_shown(whit, tiny_model, tmp_path):
    rows = [{"prompt": f"{n} + {n}?" * (300 if n == 39 else 1), "answer": str(2 * n)} for n in range(40)]
    splits = ["train"] * 20 + ["dev"] * 10 + ["test"] * 10
    lines = [json.dumps({**row, "split": split}) + "\n" for row, split in zip(rows, splits, strict=True)]
    (tmp_path / "long.jsonl").write_text("".join(lines))
    asked = ("--samples", 1, "--max-new-tokens", 4, "--dtype", "float32", "--device", "cpu")
    said = whit("evaluate", tiny_model, "--task", "long.jsonl", *asked)
    assert said.code == 0, said.err
    assert ["too", "long", "for", "the", "context", "1", "item"] in [line.split() for line in said.out.splitlines()]


def test_evaluate_can_take_another_split_and_fewer_items(whit, tiny_model, sums):
    asked = ("--task", sums, "--samples", 0, "--max-new-tokens", 4, "--dtype", "float32", "--device", "cpu", "--json")
    result = json.loads(whit("evaluate", tiny_model, *asked, "--split", "dev", "--items", 3).out)
    assert result["summary"]["num_items"] == 3
    assert "greedy_accuracy" in result["summary"] and "accuracy" not in result["summary"]


def test_evaluate_says_the_loss_of_worked_solutions_or_of_the_bare_answers(whit, tiny_model, sums, tmp_path):
    asked = ("--loss", "--dtype", "float32", "--device", "cpu")
    found = json.loads(whit("evaluate", tiny_model, "--task", sums, *asked, "--items", 3, "--json").out)
    assert found["texts"] == 3 and found["too_long"] == 0
    assert found["perplexity"] == pytest.approx(math.exp(found["nats_per_token"]["estimate"]))
    bare = tmp_path / "bare.jsonl"
    bare.write_text("".join(json.dumps({"prompt": f"{n} + {n}?", "answer": "7"}) + "\n" for n in range(40)))
    said = whit("evaluate", tiny_model, "--task", bare, *asked)
    assert "no worked solutions" in said.err and "nats a token" in said.out


def test_the_loss_of_solutions_has_an_interval_over_groups(whit, tiny_model, tmp_path):
    """Rows of one group vary together: of two groups the interval is another, and wider, than of 16 rows."""
    found = {}
    for name, groups in (("alone", 16), ("grouped", 2)):
        rows = [
            {"prompt": f"{n} + {n}?", "answer": str(2 * n), "rationale": f"{'so ' * (n % 2)}it is {2 * n}.",
             "group": str(n % groups), "split": split}
            for split in ("train", "dev", "test") for n in range(16)
        ]  # fmt: skip
        for number, row in enumerate(rows):
            row["prompt"] += f" ({number})"
            row["group"] += row["split"]
        (tmp_path / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
        asked = ("--task", tmp_path / f"{name}.jsonl", "--loss", "--dtype", "float32", "--device", "cpu", "--json")
        found[name] = json.loads(whit("evaluate", tiny_model, *asked).out)["nats_per_token"]
    assert found["alone"]["estimate"] == pytest.approx(found["grouped"]["estimate"], rel=1e-6)
    alone, grouped = (row["high"] - row["low"] for row in (found["alone"], found["grouped"]))
    assert grouped > 3 * alone


@pytest.mark.parametrize(
    ("way", "unread"),
    [
        (("--task", "SUMS", "--loss"), ("--by", "depth", "--samples", 2)),
        (("--task", "SUMS", "--loss"), ("--few-shot",)),
        (("--text", "SUMS"), ("--items", 3, "--split", "dev")),
        (("--text", "SUMS"), ("--loss", "--template", "plain")),
    ],
)
def test_options_that_a_way_of_evaluating_does_not_read_are_refused_by_name(whit, tiny_model, sums, way, unread):
    own = [sums if word == "SUMS" else word for word in way]
    said = whit("evaluate", tiny_model, *own, *unread, "--dtype", "float32", "--device", "cpu")
    assert said.code == 2 and not said.out
    assert all(f"no {name}" in " ".join(said.err.split()) for name in unread if str(name).startswith("--"))


def test_one_text_has_no_interval_and_one_that_is_not_utf8_is_named(whit, tiny_model, tmp_path):
    (tmp_path / "one.txt").write_text("A small text about nothing much.")
    (tmp_path / "latin.txt").write_bytes("é".encode("latin-1") * 9)
    asked = ("evaluate", tiny_model, "--dtype", "float32", "--device", "cpu", "--text")
    said = whit(*asked, tmp_path / "one.txt")
    assert "nan" not in said.out and "[" not in said.out and "one text has no interval" in said.err
    found = json.loads(whit(*asked, tmp_path / "one.txt", "--json").out)
    assert found["bits_per_byte"]["low"] is None and found["bits_per_byte"]["estimate"] > 0
    assert "no text in UTF-8" in whit(*asked, tmp_path / "latin.txt").err


def test_pictures_of_attention_go_to_a_file_and_not_a_directory(whit, tiny_model, sums, tmp_path):
    said = whit("attention", tiny_model, "--task", sums, "--out", tmp_path, "--device", "cpu")
    assert said.code == 2 and not said.out and "is a directory" in " ".join(said.err.split())


def test_a_fact_that_no_item_has_is_refused_before_anything_is_scored(whit, tiny_model):
    table = '{name = "key_values", pairs = [3, 3], size = 4}'
    said = whit("evaluate", tiny_model, "--task", table, "--by", "dept", "--device", "cpu")
    assert said.code == 2 and "--by dept" in said.err and "depth" in said.err and "scoring" not in said.err


def test_generate_writes_completions_in_the_order_of_the_prompts(whit, tiny_model):
    asked = ("generate", tiny_model, "1 + 1?", "2 + 2?", "--samples", 2, "--temperature", 1, "--max-new-tokens", 8)
    said = whit(*asked, "--dtype", "float32", "--device", "cpu", "--json")
    assert said.code == 0, said.err
    rows = json.loads(said.out)
    assert [row["prompt"] for row in rows] == ["1 + 1?", "2 + 2?"]
    for row in rows:
        assert len(row["completions"]) == 2
        for completion in row["completions"]:
            assert 1 <= completion["tokens"] <= 8
            assert completion["finish"] == "stop" or completion["tokens"] == 8
    assert whit(*asked, "--dtype", "float32", "--device", "cpu", "--json").out == said.out


def test_generate_reads_prompts_from_standard_input_and_marks_what_is_cut_off(whit, tiny_model, monkeypatch):
    import io

    monkeypatch.setattr("sys.stdin", io.StringIO("1 + 1?\n\n2 + 2?\n"))
    said = whit("generate", tiny_model, "--max-new-tokens", 2, "--dtype", "float32", "--device", "cpu")
    assert said.code == 0, said.err
    assert said.out.count("[cut off]") == 2


def test_what_a_model_writes_about_a_task_is_a_teacher_s_file(whit, tiny_model, sums, tmp_path):
    settings = ("--task", sums, "--items", 3, "--samples", 2, "--max-new-tokens", 4, "--dtype", "float32", "--json")
    said = whit("write", tiny_model, "new/texts.jsonl", *settings)
    assert said.code == 0, said.err
    found, rows = json.loads(said.out), read_rows(tmp_path / "new" / "texts.jsonl")
    assert found["texts"] == len(rows) == 6 and found["flops"] > 0
    assert found["tokens"] == sum(row["tokens"] for row in rows)
    train = {row["prompt"] for row in read_rows(sums) if row["split"] == "train"}
    assert {row["prompt"] for row in rows} < train
    assert whit("write", tiny_model, "texts.csv", *settings).code == 2


def test_a_teacher_behind_a_server_writes_the_same_file_and_a_student_learns_from_it(whit, tiny_model, sums, tmp_path):
    def reply(request):
        prompt = request["messages"][-1]["content"].splitlines()[0]
        if is_down and prompt == "3 + 4?":
            return Reply({"error": {"message": "no memory"}}, 500)
        answer = f" {2 * int(prompt.split()[0]) + 1}"
        return chat(f"####{answer}", tokens=[scored(piece, -0.5, {piece: -0.5}) for piece in ("####", answer)])

    is_down = True
    with serve(reply) as server:
        command = (
            "write",
            server.url,
            "texts.jsonl",
            "--task",
            sums,
            "--model",
            "m",
            "--logprobs",
            1,
            "--retries",
            0,
            "--json",
        )
        said = whit(*command)
        found = json.loads(said.out)
        assert (said.code, found["texts"], found["correct"], found["missing"]) == (1, 39, 39, 1)
        assert found["failed_tries"] == {"http 500": 1} and found["prompt_tokens"] == 39 * 7
        assert said.error == (
            "error: 1 of 40 problems have no answer and are not in texts.jsonl; failed tries: http 500 1; the last one: "
            "http 500: no memory. Run the same command again: it asks these alone."
        )
        is_down = False
        said = whit(*command)
        assert (said.code, json.loads(said.out)["missing"], len(server.requests)) == (0, 0, 41)
        assert "40 texts, 40 right, 0 cut off\n2 tokens each, 280 tokens of prompts in all" in whit(*command[:-1]).out
    assert read_rows(tmp_path / "texts.jsonl")[0]["top_logprobs"][0] == ["####", -0.5, [["####", -0.5]]]
    settings = (f"model={tiny_model}", f"task={sums}", "teacher=texts.jsonl", *SMALL, "--device", "cpu")
    said = whit("run", "kd", *settings)
    assert said.code == 0, said.err
    assert "40 kept" in said.err


def test_export_writes_the_model_of_a_run(run, whit):
    directory = Path(last(run().out))
    said = whit("export", directory)
    assert last(said.out) == str(directory / "exported")
    made = json.loads((directory / "run.json").read_text())["model"]
    weights = "model.safetensors"
    assert (directory / "exported" / weights).read_bytes() == (Path(made) / weights).read_bytes()
    assert last(whit("export", made, "--to", directory / "again").out) == str(directory / "again")
    as_gguf = directory / f"{directory.resolve().name}.gguf"
    assert last(whit("export", directory, "--format", "gguf").out) == str(as_gguf) and as_gguf.exists()
    assert (directory / "again" / "README.md").exists()


def test_a_report_is_made_of_any_runs(run, whit):
    first, second = (Path(last(run(f"seed={seed}").out)) for seed in (0, 1))
    said = whit("report", first, second)
    assert said.code == 0, said.err
    page = first / "report.html"
    assert last(said.out) == str(page) and f"{first.name}, {second.name}: whit report" in page.read_text()
    assert last(whit("report", second, "--to", "other.html").out) == "other.html"


def test_a_run_stands_for_its_model_from_any_directory(run, whit, sums, tmp_path, monkeypatch):
    directory = (tmp_path / last(run().out)).resolve()
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    said = whit("generate", directory, "1 + 1?", "--max-new-tokens", 2, "--dtype", "float32")
    assert said.code == 0, said.err
    assert whit("evaluate", directory, "--task", sums, "--items", 2, "--samples", 0, "--max-new-tokens", 2).code == 0


# What there is.


def test_runs_lists_artifacts_and_says_why_two_differ(run, whit):
    assert last(whit("runs").out) == "0 studies and 0 single runs in runs"
    run()
    run("seed=1", "stage.1.optim.lr=3e-3")
    listed = json.loads(whit("runs", "--json").out)
    assert [row["outcome"] for row in listed["runs"]] == ["finished"] * 2
    rows = listed["artifacts"]
    assert [row["facts"]["stage"] for row in rows.values()] == ["sft", "evaluate", "elsewhere"] * 2
    lines = whit("runs").out.strip().splitlines()
    assert lines[-1] == "0 studies and 2 single runs in runs; 6 artifacts (--all lists them)"
    assert len(lines) == 5 and lines[1] == "    sft: tiny on sums.jsonl"
    everything = whit("runs", "--all").out.strip().splitlines()
    assert len(everything) == 5 + 6 and everything[:4] == lines[:4]
    assert max(map(len, everything)) <= 80
    first, second = (key for key, row in rows.items() if row["facts"]["stage"] == "sft")
    why = whit("runs", "why", first[:8], second[:8])
    assert why.code == 0
    assert why.out.splitlines() == [
        f"sft-{first} -> sft-{second}", "(both were named)", "seed: 0 -> 1", "settings.optim.lr: (not set) -> 0.003",
    ]  # fmt: skip
    alone = whit("runs", "why", first).out.splitlines()
    assert alone[1] == "(the second is the newest of 1 other artifact of the stage 'sft')"
    assert [alone[0], *alone[2:]] == [why.out.splitlines()[0], *why.out.splitlines()[2:]]
    assert whit("runs", "why", f"sft-{first}", f"runs/artifacts/sft-{second}").out == why.out
    assert last(whit("runs", "why", first, first).out) == "nothing differs"


def test_doctor_checks_a_recipe(whit, tiny_model, sums):
    asked = ("doctor", "sft", f"model={tiny_model}", f"task={sums}", "--device", "cpu")
    said = whit(*asked)
    assert said.code == 0, said.err
    checks = [line.split()[:2] for line in said.out.splitlines() if not line.startswith(" ")]
    assert ["ok", "micro_batches"] in checks and ["ok", "stop_tokens"] in checks
    assert max(map(len, said.out.splitlines())) <= 80
    masked = whit(*asked[:2], "stage.1.end_of_turn=false", *asked[2:], "--json")
    assert masked.code == 1
    failed = [row for row in json.loads(masked.out) if row["status"] == "failed"]
    assert [row["check"] for row in failed] == ["stop_tokens"] and failed[0]["remedy"]


@pytest.mark.slow  # 2 s
def test_doctor_checks_a_model_and_data_for_other_trainers(whit, tiny_model, sums):
    found = json.loads(whit("doctor", tiny_model, sums, "--device", "cpu", "--json").out)
    assert {row["check"] for row in found} >= {"stop_tokens", "truncation", "signal", "logprobs", "round_trip"}
    short = whit("doctor", tiny_model, sums, "--max-new-tokens", 8, "--device", "cpu")
    assert short.code == 1 and "failed   truncation" in short.out
    headings = [line for line in short.out.splitlines() if line.startswith("As ")]
    assert headings == ["As the pipeline 'sft' begins:", "As the pipeline 'rl' begins:"]
    assert whit("doctor", tiny_model).code == 2
    named = whit("doctor", "micro-base", sums, "--device", "cpu")  # which is the name of a recipe too
    assert "not an override" not in named.err
    assert "pre-flight looks at a task" in whit("doctor", "sft", f"model={tiny_model}").error


@pytest.mark.parametrize("kind", [*PACKAGES, "recipe"])
def test_parts_lists_every_kind(kind, whit):
    said, listed = whit("parts", kind), json.loads(whit("parts", kind, "--json").out)
    assert said.code == 0
    assert max(map(len, said.out.splitlines()), default=0) <= 80
    if kind != "recipe":
        assert list(listed) == names(kind)
    for name in listed:
        assert any(line.startswith(name) for line in said.out.splitlines())


def test_parts_alone_lists_the_kinds(whit):
    kinds = json.loads(whit("parts", "--json").out)
    assert kinds.keys() == {*PACKAGES, "recipe"}
    lines = whit("parts").out.splitlines()
    assert [line.split()[0] for line in lines if not line.startswith(" ")] == list(kinds)
    assert max(map(len, lines)) <= 80


def test_parts_shows_every_default_whole_as_a_recipe_writes_it(whit):
    sft = whit("parts", "stage").out.partition("\nsft(")[2].partition("\nspecialize(")[0]
    lines = [line.strip() for line in sft.splitlines()]
    assert 'source = "rationales"  # "rationales", "answers", "own" or "traces"' in lines
    assert {"optim.warmup = 0.05", "sampling.stop = []", "recompute = false"} <= set(lines)
    assert "# optim.lr: not set; it takes a number" in lines
    assert "# lora: not set; it takes a table:" in lines and "#   lora.rank = 16" in lines
    terms = sft[sft.index("terms = [") : sft.index("max_tokens")]
    assert tomllib.loads(" ".join(terms.split()))["terms"][0]["objective"] == "cross_entropy"


def test_what_is_shown_of_a_setting_is_read_back_by_a_recipe():
    """Every stage's lines without the comments are TOML, and the recipe of that stage is the default one."""
    for name in names("stage"):
        hints, stage = get_type_hints(find("stage", name), include_extras=True), find("stage", name)
        lines = [line for o, p in options(stage).items() for line in setting_lines(o, hints[o], p.default)]
        settings = tomllib.loads("\n".join(lines))
        assert all_settings(stage, settings, name) == all_settings(stage, {}, name), name


def test_inspect_shows_which_tokens_are_supervised(whit, tiny_model, sums):
    said = whit("inspect", "sft", f"model={tiny_model}", f"task={sums}", "--count", 2)
    assert said.code == 0, said.err
    assert said.out.count("tokens are supervised") == 2
    assert "[[0 + 1 = 1.\n\\boxed{1}<|end|>]]" in said.out
    assert "<|user|>0 + 1?" in said.out.partition("[[")[0]
    bare = whit("inspect", "sft", f"model={tiny_model}", f"task={sums}", "stage.1.source=answers", "--count", 1)
    assert "[[\\boxed{1}<|end|>]]" in bare.out


def test_a_long_line_of_a_sample_goes_on_below_behind_a_mark():
    shown = _coloured(["word "] * 40 + ["\n", "answer"], [False] * 40 + [True, True])
    lines = shown.splitlines()
    assert max(map(len, lines)) <= 80 and [line.startswith("... ") for line in lines] == [False, True, True, False]
    assert shown.replace("\n... ", "") == "word " * 40 + "[[\nanswer]]"


@pytest.mark.parametrize(
    "asked", [("rl",), ("sft-own",), ("kd", "stage.1.text=teacher"), ("kd", "stage.1.on_policy=1.0")], ids=" ".join
)
def test_inspect_shows_prompts_alone_where_a_model_writes_the_completions(asked, whit, tiny_model, sums):
    said = whit("inspect", *asked, f"model={tiny_model}", f"task={sums}", "--count", 2)
    assert said.code == 0, said.err
    assert said.out.count("what follows is written by a model") == 2
    assert "[[" not in said.out and said.out.rstrip().endswith("<|assistant|>")


def test_doctor_says_what_is_found(whit):
    said = whit("doctor")
    assert said.code == 0
    found = {row["what"]: row for row in json.loads(whit("doctor", "--json").out)}
    assert found.keys() >= {"python", "cores", "gpu", "bfloat16", "sandbox", "torch", "transformers", "peft"}
    assert [line.split()[0] for line in said.out.splitlines() if not line.startswith(" ")] == list(found)
    import torch

    assert found["torch"]["found"] == torch.__version__
    absent = ("not installed", "none, so ")
    assert not any(row["remedy"] for row in found.values() if not row["found"].startswith(absent))


def test_doctor_says_why_programs_of_a_model_cannot_be_run_here(whit, monkeypatch):
    def refuse():
        raise SandboxError("this machine does not isolate it. Install it with pip install 'whit[sandbox]'.")

    monkeypatch.setattr("whit.verifiers._sandbox.check_sandbox", refuse)
    said = " ".join(whit("doctor").out.split())
    assert "sandbox none, so python_tests, humaneval and mbpp cannot judge here -> this machine does not" in said
    monkeypatch.setattr("whit.verifiers._sandbox.check_sandbox", lambda: None)
    assert "sandbox none: WHIT_UNSAFE_CODE=1 runs programs" in " ".join(whit("doctor").out.split())


def test_help_names_every_command(whit):
    said = whit("--help")
    assert said.code == 0
    commands = [command.callback.__name__ for command in app.registered_commands]
    assert len(commands) == 18
    for command in commands:
        assert f"  {command} " in said.out
        assert f" {command} [OPTIONS]" in whit(command, "--help").out


# A study.

STUDY = """
model = "{model}"
task = "{task}"
flops = 5e7
seeds = 2
workers = 2
dtype = "float32"
max_new_tokens = 4
ignore_checks = ["truncation"]
arms = ["zero_shot", "majority@8"]
evaluate = {{ items = 6, samples = 2 }}

[[pipeline]]
name = "sft"
stage = [{{ kind = "sft", batch_documents = 4 }}]

[[pipeline]]
name = "sft-rl"
stage = [
    {{ kind = "sft", batch_documents = 4 }},
    {{ kind = "rl", prompts_per_step = 2, algorithm = {{ name = "grpo", group_size = 2 }} }},
]
"""


@pytest.fixture
def study(whit, tiny_model, sums, tmp_path):
    (tmp_path / "study.toml").write_text(STUDY.format(model=tiny_model, task=sums))
    return lambda *options: whit("study", "study.toml", *options, "--device", "cpu")


def files(root: Path) -> dict[str, int]:
    """When each file below was last changed."""
    return {str(path): path.stat().st_mtime_ns for path in sorted(root.rglob("*")) if path.is_file()}


@pytest.mark.slow  # 7 s: two worker processes
def test_a_study_ends_with_a_leaderboard_and_a_model_and_does_nothing_twice(study, whit, tmp_path):
    said = study()
    assert said.code == 0, said.err
    directory = tmp_path / "runs" / "study-study"
    lines = said.out.strip().splitlines()
    assert re.fullmatch(
        r"(best model|exported, though .*) \(sft(-rl)?-seed[01]\): runs/study-study/exported", lines[-2]
    )
    assert lines[-1] == "runs/study-study/report.html"
    assert max(map(len, lines)) <= 80
    rows = [line.split()[0] for line in lines[2 : lines.index("")] if not line.startswith(" ")]
    assert set(rows) == {"sft", "sft-rl", "zero_shot", "majority@8"}
    assert "6 test items x 2 samples, 2 seeds" in said.out and "INCOMPLETE" not in said.out
    assert [f"[{n}/6]" in said.err for n in range(1, 7)] == [True] * 6  # two arms, two pipelines of two seeds

    board = json.loads((directory / "leaderboard.json").read_text())
    assert board["best"] in ("sft", "sft-rl") and board["best_run"].startswith(f"{board['best']}-seed")
    trained = {row["name"]: row for row in board["rows"] if row["is_trained"]}
    for row in trained.values():
        assert row["outcomes"] == {"finished": 2}
        assert 0 < row["flops"] <= 5e7
    assert (directory / "exported" / "model.safetensors").exists()
    assert board["best_run"] in (directory / "exported" / "README.md").read_text()

    assert board["verdict"]["sentence"] and last(whit("report", directory).out) == str(directory / "report.html")

    made = [tmp_path / "runs" / "artifacts", directory / "arms", directory / "runs"]
    before = [files(path) for path in made]
    again = study("--json")
    assert "6 of 6 runs are finished; going on." in again.err and "[1/6]" not in again.err
    assert [files(path) for path in made] == before
    result = json.loads(again.out)
    assert {key: result[key] for key in board} == board
    assert last(whit("export", directory, "--to", tmp_path / "best").out) == str(tmp_path / "best")


def test_a_study_can_be_planned(study, whit, tmp_path):
    said = whit("plan", "study.toml")
    assert [line.split()[:3] for line in said.out.splitlines()[:2]] == [["sft", "x", "2"], ["sft-rl", "x", "2"]]
    assert "arms that train nothing: zero_shot, majority@8" in said.out
    assert not (tmp_path / "runs").exists()
    assert last(study("--plan").out).endswith("study.toml")


def test_the_version_is_that_of_the_package(whit):
    from importlib.metadata import version

    said = whit("--version")
    assert (said.code, said.out) == (0, f"whit {version('whit')}\n")


def test_ctrl_c_says_that_what_is_finished_is_kept(whit, monkeypatch):
    def interrupt():
        raise KeyboardInterrupt

    monkeypatch.setattr("whit.core.parts.names", lambda kind: interrupt())
    said = whit("parts", "task")
    assert said.code == 130
    assert said.error == "Stopped. What is finished is kept: run the same command again to go on."


def test_few_test_examples_are_remarked_in_the_plan(whit, tiny_model, sums):
    said = whit("study", "--model", tiny_model, "--task", sums, "--flops", "1e9", "--plan", "--device", "cpu")
    assert "only 12 test examples are scored" in said.err.replace("\n  ", " ")
    assert last(said.out).endswith("/study.toml") and Path(last(said.out)).exists()


def test_a_recipe_that_needs_rationales_is_refused_by_doctor_and_inspect_as_by_the_run(whit, tiny_model, tmp_path):
    rows = "".join(f"{n} + {n}?,{2 * n}\n" for n in range(60))
    (tmp_path / "bare.csv").write_text("prompt,answer\n" + rows)
    asked = ("sft", f"model={tiny_model}", "task=bare.csv")
    for command in ("doctor", "inspect"):
        error = " ".join(whit(command, *asked).err.split())
        assert "no training example has a rationale. Use the recipe sft-answers or sft-own" in error


def test_a_file_of_three_rows_is_refused_before_anything_is_planned(whit, tiny_model, tmp_path):
    (tmp_path / "tiny.csv").write_text("prompt,answer\n1 + 1?,2\n1 + 2?,3\n2 + 2?,4\n")
    said = whit("study", "--model", tiny_model, "--task", "tiny.csv", "--flops", "1e9", "--device", "cpu")
    assert said.code == 1
    assert "test examples say nothing of a training; a study needs 10 at the least" in said.error
