r"""A program passes its tests: functions and scripts that a model writes, run in a sandbox (docs/sandbox.md)."""

import re
from collections.abc import Mapping
from textwrap import indent
from typing import Any, Literal

from whit.core.answers import ASK_FOR_PROGRAM
from whit.core.types import AnswerFormat, Example, Verdict
from whit.verifiers._sandbox import SandboxLostError, run_tests

FENCED = re.compile(r"^[ \t]*```[ \t]*([\w+-]*)[^\n]*\n(.*?)(?:^[ \t]*(```)|\Z)", re.MULTILINE | re.DOTALL)
PYTHON = ("python", "python3", "py", "")  # what may stand behind the three backticks
BODY = re.compile(r"(?:[ \t]+\S[^\n]*(?:\n|\Z)|[ \t]*\n)+")  # lines that are blank or indented


def python_tests(completion: str, example: Example) -> Verdict:
    r"""Every assertion of the example's tests holds for the program that the completion gives.

    The program is the last fenced Python block that defines the entry point, else the last one, else the whole text; after
    a prefix, it may also be the body of the prefix's last function. Strict: it stands in a fenced block that is closed.
    A program that fails, hangs or ends is wrong, with the status "ok" and a reason: how many assertions hold, and the first
    that does not. "timeout" and "crash" say that the sandbox failed while the program or its tests ran, and "not_started"
    that it failed before.
    What comes back from the program is compared as plain data (docs/sandbox.md); it sees none of the tests.

    The example's metadata:
    tests: list of Python sources, or one, whose assertions are counted; they may call what the program defines by its name.
    entry_point: the function that is asked for; HumanEval's tests call it as the argument of `check`.
    setup: Python that runs before the tests, beside them. prefix: Python that the program starts with.
    Raises SandboxError on a machine that cannot isolate.

    metadata: {"entry_point": "double", "tests": ["assert double(2) == 4", "assert double('ab') == 'abab'"]}
    strict: code | ```python\ndef double(x):\n    return 2 * x\n```
    strict: code | It adds:\n```py\ndef double(x):\n    return x + x\n```\nFor example:\n```\ndouble(4)\n```
    accepts: code | def double(x):\n    return x * 2
    accepts: code | ```python\ndef double(x):\n    return x * 2
    refuses: code | ```python\ndef double(x):\n    return 4\n```
    refuses: code | ```python\ndef twice(x):\n    return 2 * x\n```
    refuses: code | ```bash\ndef double(x):\n    return 2 * x\n```
    refuses: code | ```python\nimport sys\nsys.exit(0)\n```
    refuses: code | 4
    refuses: code |
    """
    given: Mapping[str, Any] = example.metadata
    if not given.get("tests"):
        return Verdict(correct=False, status="bad_gold", reason="the example's metadata has no tests")
    entry_point, prefix = given.get("entry_point", ""), given.get("prefix", "")
    code, has_format = _program(completion, entry_point)
    if not code.strip():
        return Verdict(correct=False, status="no_answer", has_format=has_format, reason="no program found")
    sources = _readings(code, prefix, entry_point)
    names = [entry_point] if entry_point else []
    tests = [given["tests"]] if isinstance(given["tests"], str) else given["tests"]
    try:
        outcome = run_tests(sources, tests, names=names, setup=given.get("setup", ""))
    except SandboxLostError as error:
        status: Literal["timeout", "crash", "not_started"] = "timeout" if error.is_timeout else "crash"
        status = status if error.is_started else "not_started"
        return Verdict(correct=False, status=status, has_format=has_format, reason=str(error))
    if outcome.is_right:
        return Verdict(correct=True, strict=has_format, has_format=has_format)
    reason = outcome.reason or "the tests assert nothing"
    if count := outcome.passed + outcome.failed:
        reason = f"{outcome.passed} of {count} assertions hold: {reason}"
    return Verdict(correct=False, has_format=has_format, reason=reason)


def ask_for(metadata: Mapping[str, Any]) -> tuple[AnswerFormat, str]:
    """How a row of a file asks for a program, whose braces no box could hold."""
    return "plain", ASK_FOR_PROGRAM


def _program(completion: str, entry_point: str) -> tuple[str, bool]:
    """The code of a completion, and whether it stands in a closed block."""
    blocks = [
        (code, bool(closed)) for language, code, closed in FENCED.findall(completion) if language.lower() in PYTHON
    ]
    if not blocks:
        return ("", False) if FENCED.search(completion) else (completion, False)
    defining = [block for block in blocks if _defines(block[0], entry_point)]
    return (defining or blocks)[-1]


def _defines(code: str, name: str) -> bool:
    return re.search(rf"^(?:async )?def {re.escape(name)}\b", code, re.MULTILINE) is not None


def _readings(code: str, prefix: str, entry_point: str) -> list[str]:
    """The programs that the code may be; the first that is Python is taken."""
    if not prefix:
        return [code]
    if _defines(code, entry_point):
        return [f"{prefix}\n{code}", code]  # the second: imports from __future__ must come first
    if code.lstrip("\n")[:1].isspace():
        return [prefix + _body(code)]
    # The second: a body of which only the first line lost its indent.
    return [prefix + indent(code, "    "), prefix + _body("    " + code)]


def _body(code: str) -> str:
    """The lines of the function that the code goes on with; what follows at the margin is no part of it."""
    body = BODY.match(code)
    return body[0] if body else ""
