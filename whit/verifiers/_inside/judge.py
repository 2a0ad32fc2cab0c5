"""The side of the tests: runs them in a process that the program cannot reach, and counts which assertions hold.

What the program defines is here a stand-in: calling it asks the other process, and what comes back is plain data of exactly
Python's own types. So a program can pass a test by returning the right value and in no other way. Arguments travel by
value too: what a function does to its arguments is not seen by the tests.
"""

import ast
import builtins
import json
import os
import random
import reprlib
import symtable
import sys
from typing import Any, NoReturn

from whit.verifiers._inside.plain import decode, encode

MAX_ANSWER_BYTES = 16 * 2**20
MAX_SHOWN = 200  # characters of an assertion or a value in a reason
ENDS = (StopIteration, StopAsyncIteration)  # what Python takes for the end of a loop and not for an error


def serve(job: str, answers: int, questions: int, verdict: int) -> None:
    """Run the job's tests against the program on the other end and write what was found.

    job: JSON {"setup": source that the tests may use, "names": what the program is to define, "tests": [source, ...]}.
    answers, questions: descriptors of the two pipes to the program. verdict: that of the pipe for the result, JSON
        {"passed": assertions that hold, "failed": those that do not, "ended": whether the program ended before its time,
        "reason": the first thing that went wrong, "" for nothing}.
    """
    program = _Program(answers, questions)
    count = _Count(program)
    ended = False
    random.seed(0)  # tests that draw their inputs draw the same ones every time
    try:
        _run(json.loads(job), program, count)
    except Ended:
        ended = True
    except Exception as error:
        count.stop(f"the tests stopped: {_said(error)}")
    found = {"passed": count.passed, "failed": count.failed, "ended": ended, "reason": count.reason}
    os.write(verdict, json.dumps(found).encode())


class Ended(BaseException):
    """The program is no longer there. No Exception: tests that catch those go on as if a call had failed."""


class ProgramError(Exception):
    """What the program raised, when it is no exception of Python's own, or one that would end a loop of the tests."""


def _run(job: dict[str, Any], program: "_Program", count: "_Count") -> None:
    try:
        program.listen()
    except Exception as error:
        count.stop(f"the program does not load: {_said(error)}")
        return
    namespace: dict[str, Any] = {"__name__": "tests", "_passed": count.hold, "_failed": count.fail}
    for name in sorted(_free([job["setup"], *job["tests"]]) - set(job["names"])):
        is_module = name in sys.stdlib_module_names
        namespace[name] = __import__(name) if is_module else program.ask("name", name)
    exec(compile(job["setup"], "<setup>", "exec"), namespace)
    for name in job["names"]:  # after the setup, which may hold the function's signature
        namespace[name] = program.ask("name", name)
    for test in job["tests"]:
        code = compile(ast.fix_missing_locations(_Counted(count).visit(ast.parse(test))), "<tests>", "exec")
        try:
            exec(code, namespace)
        except Exception as error:
            count.stop(f"the tests stopped: {_said(error)}")


class _Program:
    """The program in the other process."""

    def __init__(self, answers: int, questions: int):
        self._answers = os.fdopen(answers, "rb")
        self._questions = os.fdopen(questions, "wb", buffering=0)
        self._stand_ins: dict[int, StandIn] = {}
        self.last: Any = None  # what the last call returned

    def ask(self, what: str, on: Any, *rest: Any) -> Any:
        """The answer to a question: what is to be done, to which name or object, and with what."""
        values = [on if what == "name" else encode(on, _number), *(encode(value, _number) for value in rest)]
        try:
            self._questions.write(json.dumps([what, *values]).encode() + b"\n")
        except BrokenPipeError:
            raise Ended from None
        value = self.listen()
        if what == "call":
            self.last = value
        return value

    def listen(self) -> Any:
        """The next answer; raises what the program raised."""
        line = self._answers.readline(MAX_ANSWER_BYTES)
        if not line:
            raise Ended
        try:
            said = json.loads(line)
            raised, value = said.get("raised"), decode(said.get("value"), self._stand_in)
        except (ValueError, TypeError, LookupError, AttributeError, OverflowError, RecursionError, MemoryError):
            raise Ended from None  # it was cut off, or the program writes to its pipe itself
        if raised is not None:
            _raise(raised)
        return value

    def _stand_in(self, number: int, kind: str) -> "StandIn":
        return self._stand_ins.setdefault(number, StandIn(self, number, kind))


class StandIn:
    """An object of the program. It can be called, its attributes read and set, its items listed, its truth asked for.

    It cannot be compared: only the program could say, and it would learn what is expected, and agree.
    """

    def __init__(self, program: _Program, number: int, kind: str):
        self.__dict__.update(_program=program, _number=number, _kind=kind)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self._program.ask("call", self, args, kwargs)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):  # what Python looks for by itself
            raise AttributeError(name)
        return self._program.ask("get", self, name)

    def __setattr__(self, name: str, value: Any) -> None:
        self._program.ask("set", self, name, value)

    def __iter__(self) -> Any:
        return iter(self._program.ask("list", self))

    def __bool__(self) -> bool:
        return self._program.ask("bool", self) is True

    def __eq__(self, other: object) -> NoReturn:
        raise TypeError(f"the program's value is a {self._kind[:MAX_SHOWN]}, not plain data")

    __ne__ = __lt__ = __le__ = __gt__ = __ge__ = __eq__
    __hash__ = object.__hash__


def _number(value: Any) -> int:
    if type(value) is StandIn:
        return int(value.__dict__["_number"])
    raise TypeError(f"a test gives the program a {type(value).__name__}, which is not plain data")


def _raise(raised: Any) -> NoReturn:
    name, text, line = map(str, raised) if isinstance(raised, list) and len(raised) == 3 else ("Error", "", "0")
    text = text[:MAX_SHOWN] + (f" (line {line} of the program)" if line != "0" else "")
    kind = getattr(builtins, name, None)
    if isinstance(kind, type) and issubclass(kind, Exception) and not issubclass(kind, ENDS):
        try:
            raise kind(text)
        except TypeError:  # UnicodeDecodeError and its like need more than a text
            if kind is TypeError:
                raise
    raise ProgramError(f"{name[:MAX_SHOWN]}: {text}")


class _Count:
    """Assertions that held and those that did not, and why the first of those did not."""

    def __init__(self, program: _Program) -> None:
        self.passed, self.failed, self.reason = 0, 0, ""
        self.program = program
        self.assertions: list[ast.Assert] = []

    def hold(self) -> None:
        self.passed += 1

    def fail(self, number: int) -> None:
        self.failed += 1
        if not self.reason:
            error = sys.exc_info()[1]
            shown = ast.unparse(self.assertions[number].test)[:MAX_SHOWN]
            if type(error) is AssertionError:
                self.reason = f"not so: {shown}, the last call gave {_shown(self.program.last)}"
            else:
                self.reason = f"{_said(error)} in {shown}"

    def stop(self, reason: str) -> None:
        self.reason = self.reason or reason


class _Counted(ast.NodeTransformer):
    """Assertions that tell the count whether they held, and let the tests go on."""

    def __init__(self, count: _Count):
        self.count = count

    def visit_Assert(self, node: ast.Assert) -> ast.Try:
        self.count.assertions.append(node)
        failed = ast.parse(f"_failed({len(self.count.assertions) - 1})").body
        handler = ast.ExceptHandler(type=ast.Name("Exception", ast.Load()), name=None, body=failed)
        return ast.Try(body=[node], handlers=[handler], orelse=ast.parse("_passed()").body, finalbody=[])


def _free(sources: list[str]) -> set[str]:
    """Names that tests read and neither they nor Python define: stdlib modules they forgot, or the program's."""
    read: set[str] = set()
    made = set(dir(builtins))
    tables = [symtable.symtable(source, "<tests>", "exec") for source in sources]
    for table in tables:
        is_module = table.get_type() == "module"
        for symbol in table.get_symbols():
            if is_module or symbol.is_global():
                if symbol.is_referenced():
                    read.add(symbol.get_name())
                if symbol.is_assigned() or symbol.is_imported():
                    made.add(symbol.get_name())
        tables += table.get_children()
    return read - made


def _shown(value: Any) -> str:
    try:
        return "nothing that is plain data" if type(value) is StandIn else reprlib.repr(value)[:MAX_SHOWN]
    except (ValueError, RecursionError):  # a number of more than 4,300 digits
        return f"a long {type(value).__name__}"


def _said(error: BaseException | None) -> str:
    return f"{type(error).__name__}: {error}"[: 3 * MAX_SHOWN]
