"""Completions to programs to verdicts; and every published reference solution passes its own tests."""

import os
import re
from dataclasses import replace
from pathlib import Path

import pytest

from whit.core.answers import completion_text
from whit.core.parts import find
from whit.core.types import Example
from whit.data.sources.file import file
from whit.verifiers import python_tests as module
from whit.verifiers._judge import check_gold, judge
from whit.verifiers._sandbox import SandboxLostError
from whit.verifiers.python_tests import python_tests

pytestmark = pytest.mark.usefixtures("sandbox")
REAL = Path(os.environ.get("WHIT_DATA") or Path(__file__).parents[3] / "shared" / "data")
PREFIX = 'from math import floor\n\ndef half(x: float) -> int:\n    """ The half of x, rounded down. """\n'
EXAMPLE = Example(
    "1",
    "?",
    "code",
    verifier="python_tests",
    metadata={
        "tests": ["def check(candidate):\n    assert candidate(5) == 2\n    assert candidate(-5) == -3\ncheck(half)"],
        "entry_point": "half",
        "setup": PREFIX,
        "prefix": PREFIX,
    },
)


def fenced(code: str) -> str:
    return f"```python\n{code}\n```"


@pytest.mark.parametrize(
    "completion",
    [
        "    return floor(x / 2)\n",
        "    y = x / 2\n    return floor(y)\n\ndef unrelated(\n",  # a base model writes on
        "    y = x / 2\n\n    return floor(y)\nprint(half(3))",
        "return floor(x / 2)",
        "y = x / 2\n    return floor(y)",  # the first indent was stripped
        "if x:\n    return floor(x / 2)\nreturn 0",
        "def half(x):\n    return floor(x / 2)",
        fenced("def half(x):\n    return floor(x / 2)"),
        fenced("    return floor(x / 2)"),
        fenced("return x // 2"),
        fenced("from __future__ import annotations\ndef half(x: Odd): return x // 2"),
        fenced("def helper(x): return x // 2\n\ndef half(x):\n    return helper(x)"),
        fenced("half = 0") + "\nNo, this:\n" + fenced("def half(x):\n    return x // 2") + "\nPrints:\n```\n2\n```",
        "1. Like so:\n   ```py\ndef half(x):\n    return x // 2\n   ```",
    ],
)  # fmt: skip
def test_a_completion_may_be_a_body_a_function_or_a_block(completion):
    verdict = python_tests(completion, EXAMPLE)
    assert verdict.correct, verdict
    assert verdict.strict == verdict.has_format == ("```" in completion)


@pytest.mark.parametrize(
    ("completion", "reason"),
    [
        ("    return x / 2", "0 of 2 assertions hold: not so: candidate(5) == 2, the last call gave 2.5"),
        ("    return int(x / 2)", "1 of 2 assertions hold: not so: candidate(-5) == -3, the last call gave -2"),
        (
            "    return x.half",
            "0 of 2 assertions hold: AttributeError: 'int' object has no attribute 'half' (line 5 of",
        ),
        ("I would halve it.", "SyntaxError"),
        ("    pass", "the last call gave None"),
    ],
)
def test_a_wrong_program_is_judged_with_a_share_and_a_reason(completion, reason):
    verdict = python_tests(completion, EXAMPLE)
    assert (verdict.correct, verdict.status, verdict.reward) == (False, "ok", None)
    assert reason in verdict.reason


@pytest.mark.slow  # 5 s of processor time
def test_a_program_that_does_not_end_is_wrong_and_no_fault_of_the_sandbox():
    verdict = python_tests("    while True: pass", EXAMPLE)
    assert (verdict.correct, verdict.status) == (False, "ok")
    assert "processor time" in verdict.reason or "longer" in verdict.reason


@pytest.mark.parametrize(
    ("how", "status"),
    [({"is_timeout": True}, "timeout"), ({}, "crash"), ({"is_timeout": True, "is_started": False}, "not_started")],
)
def test_a_sandbox_that_fails_gives_a_status_of_its_own(monkeypatch, how, status):
    def lost(*_: object, **__: object) -> None:
        raise SandboxLostError("gone", **how)

    monkeypatch.setattr(module, "run_tests", lost)
    verdict = python_tests(fenced("x"), EXAMPLE)
    assert (verdict.correct, verdict.status, verdict.reason, verdict.has_format) == (False, status, "gone", True)


def test_an_example_without_tests_cannot_be_judged():
    assert python_tests("    return 0", replace(EXAMPLE, metadata={})).status == "bad_gold"


def test_the_prefix_helpers_that_tests_use_cannot_be_redefined():
    setup = "def doubled(x):\n    return 2 * x\n\ndef half(x):\n    pass\n"
    metadata = {"tests": ["assert doubled(half(6)) == 6"], "entry_point": "half", "setup": setup, "prefix": setup}
    example = replace(EXAMPLE, metadata=metadata)
    assert python_tests(fenced("def half(x): return x // 2"), example).correct
    assert not python_tests(fenced("def doubled(x): return 6\ndef half(x): return 0"), example).correct


def references(name: str, **settings: object) -> list[Example]:
    if not REAL.is_dir():
        pytest.skip(f"no data in {REAL}")
    splits = ("test",) if name == "humaneval" else ("train", "dev", "test")
    return [example for split in splits for example in find("task", name)(split, path=REAL, **settings)]


@pytest.mark.slow  # 2 s, 12 s and 8 s
@pytest.mark.parametrize(
    ("name", "settings", "count"), [("humaneval", {}, 164), ("mbpp", {}, 974), ("mbpp", {"sanitized": True}, 427)]
)
def test_every_reference_solution_passes(name, settings, count):
    examples = references(name, **settings)
    assert len(examples) == count
    assert [e.id for e in examples if not judge(completion_text(e), e).strict] == []


@pytest.mark.slow  # 1 s
def test_a_wrong_solution_of_each_of_fifty_problems_fails():
    for example in references("humaneval")[:50]:
        assert not judge(completion_text(example), example).reason
        verdict = judge("    return None\n", example)
        assert not verdict.correct and verdict.status == "ok", example.id


# A file of one's own.


def test_the_file_that_the_docs_show_is_a_task_as_it_stands(tmp_path):
    page = (Path(__file__).parents[2] / "docs" / "sandbox.md").read_text()
    path = tmp_path / "code.jsonl"
    path.write_text(re.search(r"```jsonl\n(.*?\n)```\n", page, re.DOTALL)[1])
    examples = [example for rows in file(path, verifier="python_tests").examples.values() for example in rows]
    assert len(examples) == 3
    check_gold(examples)
    assert all(judge(completion_text(example), example).strict for example in examples)


def test_one_test_may_be_written_as_text():
    example = replace(EXAMPLE, metadata={"tests": "assert double(2) == 4"})
    assert python_tests(fenced("def double(x):\n    return 2 * x"), example).strict
    assert not python_tests(fenced("def double(x):\n    return 5"), example).correct
