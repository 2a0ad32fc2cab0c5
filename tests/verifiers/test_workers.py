"""Verdicts in worker processes are those that `judge` gives here, and a worker's end is a verdict too."""

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from whit.core.answers import completion_text
from whit.core.types import Completion, Example
from whit.verifiers import _workers
from whit.verifiers._judge import judge
from whit.verifiers._named import max_seconds
from whit.verifiers._workers import Pool, Verdicts, _line, judge_later

EXAMPLE = Example("1", "2 + 5?", "7", metadata={"level": [1, 2]})
SOURCE = """
import os, time

def by_pid(completion, example):
    print("not a verdict")
    return float(os.getpid() == int(completion))

def slow(completion, example):
    time.sleep(0.02)
    return float(os.getpid() == int(completion))

def ends(completion, example):
    os._exit(3)

def hangs(completion, example):
    time.sleep(60)

def reads_numbers(completion, example):
    return float(int(completion.removeprefix("#### ")) == int(example.gold))
"""


@pytest.fixture
def named(tmp_path: Path):
    file = tmp_path / "rewards.py"
    file.write_text(SOURCE)
    return lambda name: Example("1", "q", "g", verifier=f"{file}:{name}")


@pytest.fixture(scope="module")
def pool():
    return Pool(2)


@pytest.mark.parametrize("text", ["#### 7", "so it is 7", "8", "", "a lone surrogate \ud800 7"])
def test_a_worker_says_what_judge_says(pool, text):
    assert pool.submit(_line(text, EXAMPLE)).result() == judge(text, EXAMPLE)


def test_a_choice_is_judged_among_its_labels(pool):
    example = Example("1", "q", "B", verifier="choice", choices=("A", "B"), answer_format="boxed")
    assert pool.submit(_line("\\boxed{B}", example)).result() == judge("\\boxed{B}", example)


def test_a_users_function_runs_in_another_process_and_may_print(pool, named):
    here = str(os.getpid())
    assert pool.submit(_line(here, named("by_pid"))).result().reward == 0.0
    assert judge(here, named("by_pid")).reward == 1.0


def test_a_verifier_that_ends_its_process_is_a_crash_and_the_next_verdict_comes(named):
    pool = Pool(1)
    ended = pool.submit(_line("7", named("ends"))).result()
    assert (ended.status, ended.correct) == ("crash", False) and "status 3" in ended.reason
    assert pool.submit(_line("#### 7", EXAMPLE)).result().correct


def test_a_verifier_that_hangs_is_a_timeout_and_the_next_verdict_comes(named):
    pool = Pool(1, max_seconds=1.0)
    pool.submit(_line("#### 7", EXAMPLE)).result()
    hung = pool.submit(_line("7", named("hangs"))).result()
    assert (hung.status, hung.reason, hung.correct) == ("timeout", "no verdict after 1 s", False)
    assert pool.submit(_line("#### 7", EXAMPLE)).result().correct


def test_what_a_verifier_imports_for_its_first_verdict_is_not_counted(named):
    pool = Pool(1, max_seconds=0.01)  # a worker takes longer than that to start
    assert pool.submit(_line("#### 7", EXAMPLE)).result().correct


def test_a_verifier_that_declares_a_limit_is_asked_in_a_worker_only(monkeypatch):
    asked = []
    monkeypatch.setattr(_workers, "_pool", lambda: Pool(0))
    monkeypatch.setattr(Pool, "submit", lambda _, line, name: asked.append(name))
    assert max_seconds("exact_number") is None and max_seconds("symbolic_equal") > 0
    judge_later("#### 7", Example("1", "q", "7", verifier="symbolic_equal", metadata={"a": (1, 2)}))
    assert asked == ["symbolic_equal"]


@pytest.mark.parametrize(
    ("gibibytes", "limit", "fits"), [(1, "MAX_BYTES", True), (5, "MAX_BYTES", False), (5, "None", True)]
)
def test_a_verifier_that_declares_a_limit_has_its_memory_limited(gibibytes, limit, fits):
    imports = "from whit.verifiers._workers import MAX_BYTES, _limit_memory"
    script = f"{imports}\n_limit_memory(MAX_BYTES)\n_limit_memory({limit})\nbytearray({gibibytes} << 30)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert (done.returncode == 0) == fits and ("MemoryError" in done.stderr) != fits


def test_an_example_that_json_would_change_is_judged_here():
    assert _line("7", Example("1", "q", "7", metadata={"a": (1, 2)})) == ""
    assert _line("7", Example("1", "q", "7", metadata={"a": object()})) == ""


def test_a_quick_verifier_answers_at_once(monkeypatch):
    monkeypatch.setattr(_workers, "_seconds", {})
    monkeypatch.setattr(_workers, "_pool", lambda: pytest.fail("a worker was asked"))
    for _ in range(10):
        assert judge_later("#### 7", EXAMPLE).done()


def test_a_slow_verifier_moves_to_the_workers(monkeypatch, named):
    monkeypatch.setattr(_workers, "_seconds", {})
    here, example = str(os.getpid()), named("slow")
    assert [judge_later(here, example).result().reward for _ in range(6)] == [1.0] * 4 + [0.0] * 2


def verdicts_of(example: Example, *texts: str) -> list:
    verdicts = Verdicts([example], lambda ids: texts[ids[0]])
    for i in range(len(texts)):
        verdicts.finished(0, i, Completion((i,), (0.0,), "stop"))
    return [verdict for _, verdict in verdicts.groups()[0]]


def test_a_completion_at_which_the_verifier_fails_is_wrong_if_the_gold_answer_passes(named):
    right, wrong, raises = verdicts_of(replace(named("reads_numbers"), gold="7"), "7", "8", "seven")
    assert right.correct and not wrong.correct and wrong.is_judged
    assert (raises.status, raises.correct, raises.reward) == ("crash", False, 0.0)
    assert raises.is_at_fault and raises.is_judged and "seven" in raises.reason


def test_a_verifier_that_fails_at_the_gold_answer_too_has_judged_nothing(named):
    (failed,) = verdicts_of(named("reads_numbers"), "7")  # its gold answer is "g"
    assert failed.status == "crash" and not failed.is_at_fault and not failed.is_judged


def test_the_gold_answer_is_asked_for_once_and_only_after_a_failure(monkeypatch, named):
    asked = []
    monkeypatch.setattr(_workers, "judge_later", lambda text, example: asked.append(text) or judge_later(text, example))
    verdicts_of(replace(named("reads_numbers"), gold="7"), "7", "8")
    assert asked == ["7", "8"]
    verdicts_of(replace(named("reads_numbers"), gold="7"), "seven", "eight")
    assert asked[2:] == ["seven", "eight", "#### 7"]


def test_a_worker_that_does_not_come_up_is_nobody_s_fault(monkeypatch):
    monkeypatch.setattr(_workers.sys, "executable", "/bin/false")
    found = Pool(1).submit(_line("#### 7", EXAMPLE)).result()
    assert (found.status, found.reason, found.is_judged) == ("not_started", "no worker process came up", False)


PROGRAM = Example(
    "1", "q", "def f(x): return x", verifier="python_tests", answer_format="plain",
    metadata={"entry_point": "f", "tests": ["assert f(3) * f(3) == 9"]},
)  # fmt: skip


@pytest.mark.slow  # 40 s for all: algebra that does not end, and workers that start
@pytest.mark.parametrize(
    ("example", "completion"),
    [
        (Example("1", "q", "7", verifier="symbolic_equal"), "#### (x+y+z)^{999}"),
        (Example("1", "q", "x+y=1", verifier="symbolic_equal"), "#### x+y=9^{9^{9}}"),
        (PROGRAM, "def f(x): return (1 << 50_000_000) - 1"),  # the tests multiply it
        (PROGRAM, "def f(x): return {i * (2**61 - 1) for i in range(50_000)}"),  # they have one hash
        (Example("1", "q", "7", verifier="code_output"), "#### 0x" + "1" * 9_000),
        (
            Example(
                "1",
                "q",
                "{}",
                verifier="json_schema",
                metadata={"schema": {"additionalProperties": {"multipleOf": 0.1}}},
            ),
            '#### {"a": 1e400}',
        ),
        (
            Example("1", "q", "[]", verifier="json_schema", metadata={"schema": {"items": {"$ref": "#"}}}),
            "#### " + "[" * 400 + "]" * 400,
        ),
    ],
)
def test_no_text_leaves_a_verifier_without_a_verdict(sandbox, example, completion):
    gold, found = verdicts_of(example, completion_text(example), completion)
    assert gold.correct and found.is_judged and not found.correct


def test_verdicts_come_back_in_the_order_of_examples_and_samples_however_they_ended():
    examples = [EXAMPLE, Example("2", "q", "8")]
    verdicts = Verdicts(examples, lambda ids: f"#### {ids[0]}")
    for prompt, sample, answer in ((1, 1, 7), (0, 1, 6), (1, 0, 8), (0, 0, 7)):
        verdicts.finished(prompt, sample, Completion((answer,), (0.0,), "stop"))
    found = [[(text, verdict.correct) for text, verdict in group] for group in verdicts.groups()]
    assert found == [[("#### 7", True), ("#### 6", False)], [("#### 8", True), ("#### 7", False)]]
