"""The sandbox: what a right program may do, what a reason says, how containers live and die, and when it refuses."""

import os
import shlex
import signal
import struct
import subprocess
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path

import pytest

from whit.core.errors import SandboxError
from whit.core.types import Example
from whit.verifiers import _bubblewrap, _judge, _sandbox
from whit.verifiers._inside import judge
from whit.verifiers._sandbox import Outcome, Sandbox, SandboxLostError, check_sandbox, run_tests
from whit.verifiers._seccomp import seccomp_filter
from whit.verifiers._workers import Pool, _line

RIGHT = "def square(x): return x * x"
SQUARE = ["assert square(2) == 4", "assert square(3) == 9"]


@pytest.fixture
def pair(sandbox):
    pair = Sandbox(check_sandbox())
    yield pair
    pair.close()


def is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def containers(parent: int) -> list[int]:
    """The processes below a process, all the way down."""
    pairs = []
    for process in Path("/proc").glob("[0-9]*/stat"):
        with suppress(FileNotFoundError, ProcessLookupError):  # it has ended
            pairs.append((int(process.parent.name), int(process.read_text().rpartition(")")[2].split()[1])))
    found = [parent]
    for pid in found:
        found += [child for child, of in pairs if of == pid]
    return found[1:]


@pytest.mark.parametrize(
    "program",
    [
        "def square(x):\n    print('working', flush=True)\n    return x * x",
        "import asyncio\nasync def go(x): return x * x\ndef square(x): return asyncio.run(go(x))",
        "from concurrent.futures import ThreadPoolExecutor\ndef square(x):\n"
        "    with ThreadPoolExecutor(2) as pool: return pool.submit(pow, x, 2).result()",
        "from __future__ import annotations\nfrom dataclasses import dataclass\n@dataclass\nclass P:\n    x: int\n"
        "def square(x): return P(x).x ** 2",
        "import tempfile\ndef square(x):\n"
        "    with tempfile.TemporaryFile() as f:\n        f.write(b'x' * x)\n        return f.tell() ** 2",
        "import sys\nsys.setrecursionlimit(9000)\ndef square(x, n=5000): return square(x, n - 1) if n else x * x",
        "if __name__ == '__main__':\n    print(square(int(input())))\ndef square(x): return x * x",
        "square = lambda x: x * x",
        "class Square:\n    def __call__(self, x): return x * x\nsquare = Square()",
    ],
)
def test_a_right_program_may_print_use_threads_files_and_recursion(sandbox, program):
    assert run_tests([program], SQUARE) == Outcome(2, 0, "")


@pytest.mark.parametrize(
    "value",
    [
        "None", "True", "-7", "2**4000", "1.5", "float('-inf')", "1+2j", "'\\ud800 a'", "b'\\x00'", "bytearray(b'a')",
        "[1, [2]]", "(1,)", "{1, 2}", "frozenset({1})", "{'a': {1: (2,)}}", "int", "[]", "{}", "set()",
    ],
)  # fmt: skip
def test_plain_data_travels_both_ways_unchanged(sandbox, value):
    tests = [f"x = {value}\nassert same(x) == x and type(same(x)) is type(x)", f"assert type(given()) is type({value})"]
    program = f"def same(x): return x\ndef given(): return {value}"
    assert run_tests([program], tests) == Outcome(2, 0, "")


def test_objects_of_the_program_travel_by_reference(sandbox):
    node = "class Node:\n    def __init__(self, x): self.x, self.next = x, None\n"
    program = node + "def total(n): return n.x + total(n.next) if n else 0"
    setup = "head = Node(1)\nhead.next = Node(2)\nhead.next.next = Node(4)"
    tests = [
        "assert total(head) == 7",
        "assert head.next.x == 2",
        "assert head.next",
        "assert list(map(str, [])) == []",
    ]
    assert run_tests([program], tests, setup=setup) == Outcome(4, 0, "")


def test_what_a_function_does_to_its_arguments_stays_in_its_process(sandbox):
    program = "def clear(items): items.clear(); return items"
    assert run_tests([program], ["x = [1]\nassert clear(x) == [] and x == [1]"]).is_right


def test_tests_may_expect_an_exception(sandbox):
    tests = ["try: fail()\nexcept ValueError as error: assert 'no' in str(error)\nelse: assert False"]
    assert run_tests(["def fail(): raise ValueError('no')"], tests).is_right
    assert not run_tests(["def fail(): pass"], tests).is_right


@pytest.mark.parametrize(
    ("program", "reason"),
    [
        ("def square(x): return x + x", "not so: square(3) == 9, the last call gave 6"),
        ("def square(x):\n    y = x\n    return y / 0", "division by zero (line 3 of the program) in square(2) == 4"),
        ("def square(x): return object()", "TypeError: the program's value is a object, not plain data"),
        ("def cube(x): return x ** 3", "the tests stopped: NameError: the program defines no square"),
        ("def square(x) return x", "the program does not load: SyntaxError: expected ':' (<program>, line 1)"),
        ("import numpy", "the program does not load: ModuleNotFoundError: No module named 'numpy'"),
        ("import sys; sys.exit(3)", "the program ended with status 3"),
        (
            "class Odd(Exception): pass\ndef square(x): raise Odd('x')",
            "Odd: x (line 2 of the program) in square(2) == 4",
        ),
    ],
)
def test_the_reason_says_what_went_wrong_first(sandbox, program, reason):
    outcome = run_tests([program], SQUARE)
    assert not outcome.is_right
    assert reason in outcome.reason


@pytest.mark.parametrize("end", ["StopIteration", "StopAsyncIteration", "GeneratorExit"])
@pytest.mark.parametrize(
    "test",
    [
        "for found, x in zip(map(square, [2, 3]), [2, 3]): assert found == x * x\nassert 1 == 1",
        "assert all(found == x * x for found, x in zip(map(square, [2, 3]), [2, 3]))",
        "assert list(map(square, [])) == []\nassert list(map(square, [2, 3])) == []",
    ],
)
def test_a_program_does_not_end_the_loops_of_its_tests(sandbox, end, test):
    outcome = run_tests([f"def square(x): raise {end}"], [test])
    assert not outcome.is_right and (end in outcome.reason or "ended" in outcome.reason)


@pytest.mark.parametrize(
    "line",
    [b'{"value": {"ref": 1e999, "type": "x"}}', b'{"value": {"complex": [1%s, 0]}}' % (b"0" * 400), b"[" * 9000, b"7"],
)
def test_an_answer_that_no_program_gives_ends_the_program(line):
    answers, questions = os.pipe(), os.pipe()
    os.write(answers[1], line + b"\n")
    program = judge._Program(answers[0], questions[1])
    with pytest.raises(judge.Ended):
        program.listen()
    program._answers.close(), program._questions.close(), os.close(answers[1]), os.close(questions[0])


def test_assertions_are_counted_one_by_one(sandbox):
    tests = ["def check(f):\n    for x in range(5): assert f(x) < 3\ncheck(same)", "assert same(1) == 1"]
    outcome = run_tests(["def same(x): return x"], tests)
    assert (outcome.passed, outcome.failed) == (4, 2)


def test_tests_that_assert_nothing_are_no_success(sandbox):
    assert not run_tests([RIGHT], ["square(2)"]).is_right


def test_the_first_reading_that_is_python_is_the_program(sandbox):
    assert run_tests(["def square(x) =", RIGHT, "def square(x): return 0"], SQUARE).is_right


def test_a_warm_pair_serves_many_programs_and_its_processes_stay_the_same(pair):
    pair.run([RIGHT], SQUARE)
    before = containers(os.getpid())
    assert all(pair.run([RIGHT], SQUARE).is_right for _ in range(20))
    assert containers(os.getpid()) == before


def test_closing_leaves_no_process(pair):
    assert pair.run([RIGHT], SQUARE).is_right
    mine = containers(pair._program._process.pid) + [pair._program._process.pid]
    assert len(mine) >= 2
    pair.close()
    assert not any(map(is_alive, mine))
    assert pair.run([RIGHT], SQUARE).is_right  # and another begins with the next program


def test_a_container_that_was_killed_between_programs_is_replaced(pair):
    pair.run([RIGHT], SQUARE)
    for container in (pair._program, pair._tests):
        container._process.kill()
        container._process.wait()
        assert pair.run([RIGHT], SQUARE).is_right


def test_a_container_that_is_killed_under_a_program_is_no_fault_of_the_program(pair):
    pair.run([RIGHT], SQUARE)
    killer = threading.Timer(0.5, os.kill, (pair._program._process.pid, signal.SIGKILL))
    killer.start()
    with pytest.raises(SandboxLostError) as lost:
        pair.run(["import time\ndef square(x): time.sleep(9)"], SQUARE)
    assert not lost.value.is_timeout
    assert pair.run([RIGHT], SQUARE).is_right


def test_a_container_that_does_not_come_up_is_no_fault_of_the_program(sandbox, monkeypatch):
    pair = Sandbox(check_sandbox())
    monkeypatch.setattr(_sandbox, "contained", lambda *_: ["/bin/false"])
    with pytest.raises(SandboxLostError) as lost:
        pair.run([RIGHT], SQUARE)
    assert not lost.value.is_started


LEFT = {
    "its directory closed to all": "os.chmod('.', 0)",
    "a directory closed to all": "os.mkdir('a/'); os.mkdir('a/b'); os.chmod('a', 0)",
    "three thousand nested directories": "for i in range(3000): os.mkdir('a'); os.chdir('a')",
    "a link for every turn": "open('a', 'w').close()\n    for i in range(200_000): os.link('a', f'a{i}')",
}


@pytest.mark.parametrize("left", LEFT.values(), ids=LEFT)
def test_a_wrong_program_is_wrong_whatever_it_leaves_behind(pair, left):
    program = f"import os\ndef leave():\n    {left}\nleave()\ndef square(x): return 5"
    outcome = pair.run([program], SQUARE)
    assert (outcome.passed, outcome.failed) == (0, 2) and "the last call gave 5" in outcome.reason
    assert pair.run([RIGHT], SQUARE).is_right


def test_a_verdict_stands_though_what_the_program_left_cannot_be_removed(pair, monkeypatch):
    def lost(container: object) -> None:
        raise SandboxLostError("the container said nothing for 5 s", is_timeout=True)

    with monkeypatch.context() as patch:
        patch.setattr(_sandbox._Container, "stop", lost)
        assert pair.run([RIGHT], SQUARE) == Outcome(2, 0, "")
        assert pair.run(["def square(x): return 5"], SQUARE).failed == 2
    assert pair.run([RIGHT], SQUARE).is_right


def test_an_interrupt_leaves_no_answer_behind_for_the_next_program(pair):
    pair.run([RIGHT], SQUARE)
    threading.Timer(0.5, os.kill, (os.getpid(), signal.SIGINT)).start()
    with pytest.raises(KeyboardInterrupt):
        pair.run(["import time\ndef square(x): time.sleep(2)"], SQUARE)
    assert pair.run([RIGHT], SQUARE).is_right


def test_tests_that_take_too_long_are_no_fault_of_the_program(sandbox):
    pair = Sandbox(check_sandbox(), _sandbox.Limits(cpu_seconds=1, wall_seconds=2.0))
    with pytest.raises(SandboxLostError) as lost:
        pair.run([RIGHT], ["while True: pass"])
    assert lost.value.is_timeout
    assert pair.run([RIGHT], SQUARE).is_right
    pair.close()


@pytest.mark.slow  # 2 s: a process of its own
@pytest.mark.parametrize("end", ["os.kill(os.getpid(), 9)", "sys.exit(0)", "os._exit(0)"])
def test_containers_end_with_the_process_that_started_them_however_it_ends(sandbox, end):
    code = f"""
import os, sys, threading, time
from whit.verifiers._sandbox import run_tests
assert run_tests([{RIGHT!r}], {SQUARE!r}).is_right
print("warm", flush=True)
sys.stdin.readline()
{end}
"""
    host = subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert host.stdout.readline() == "warm\n"
    inside = containers(host.pid)
    assert len(inside) >= 4  # two containers, each with a monitor outside and a zygote inside
    host.communicate("\n")
    deadline = time.monotonic() + 10
    while any(map(is_alive, inside)) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not any(map(is_alive, inside))


def test_another_thread_has_a_pair_of_its_own(sandbox):
    run_tests([RIGHT], SQUARE)
    found = []
    for _ in range(2):  # the second comes after the first thread's containers went with it
        thread = threading.Thread(target=lambda: found.append(run_tests([RIGHT], SQUARE).is_right))
        thread.start()
        thread.join()
    assert found == [True, True]
    assert run_tests([RIGHT], SQUARE).is_right


def test_a_fork_of_the_process_starts_its_own(sandbox):
    run_tests([RIGHT], SQUARE)
    child = os.fork()
    if child == 0:
        os._exit(0 if run_tests(["def square(x): return 0"], SQUARE).failed == 2 else 1)
    assert all(run_tests([RIGHT], SQUARE).is_right for _ in range(10))
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


@pytest.mark.slow  # 2 s: a worker is started
def test_a_worker_process_judges_programs_too(sandbox):
    example = Example("1", "q", "g", verifier="python_tests", metadata={"tests": SQUARE, "entry_point": "square"})
    pool = Pool(1)
    verdicts = [pool.submit(_line(program, example)).result() for program in (RIGHT, "def square(x): return 4", RIGHT)]
    assert [verdict.correct for verdict in verdicts] == [True, False, True]


def test_without_a_binary_it_refuses_and_says_what_to_install(monkeypatch):
    monkeypatch.setattr(_sandbox, "binaries", list)
    monkeypatch.delenv("WHIT_UNSAFE_CODE", raising=False)
    with pytest.raises(SandboxError, match=r"no bwrap on PATH.*pip install 'whit\[sandbox\]'"):
        _sandbox._working_binary.__wrapped__()


def test_a_binary_that_fails_is_named_with_what_it_said(monkeypatch, tmp_path):
    broken = tmp_path / "bwrap"
    broken.write_text("#!/bin/sh\necho 'bwrap: No permissions to create new namespace' >&2\nexit 1\n")
    broken.chmod(0o755)
    monkeypatch.setattr(_sandbox, "binaries", lambda: [str(broken)])
    with pytest.raises(SandboxError, match=r"bwrap: the container ended: bwrap: No permissions.*sysctl"):
        _sandbox._working_binary.__wrapped__()


def test_a_binary_that_contains_nothing_is_found_out_before_anything_is_run_or_wiped(monkeypatch, tmp_path):
    no_container = tmp_path / "bwrap"
    command = " ".join(map(shlex.quote, _bubblewrap.bare("")[:-1]))
    no_container.write_text(f'#!/bin/sh\nfor last; do :; done\nexec {command} "$last"\n')
    no_container.chmod(0o755)
    monkeypatch.setattr(_sandbox, "binaries", lambda: [str(no_container)])
    with pytest.raises(SandboxError, match="this is no container"):
        _sandbox._working_binary.__wrapped__()


def test_a_container_with_a_hole_is_found_out(sandbox, monkeypatch):
    def with_network(*arguments: object) -> list[str]:
        command = _bubblewrap.contained(*arguments)
        place = command.index("--unshare-all")
        return [*command[:place], "--unshare-pid", "--unshare-uts", *command[place + 1 :]]

    binary = check_sandbox()
    monkeypatch.setattr(_sandbox, "binaries", lambda: [binary])
    monkeypatch.setattr(_sandbox, "contained", with_network)
    monkeypatch.setattr(_sandbox, "seccomp_filter", bytes)  # or it would refuse the socket
    with pytest.raises(SandboxError, match="a probe was not held"):
        _sandbox._working_binary.__wrapped__()


def test_another_system_has_no_sandbox(monkeypatch):
    monkeypatch.setattr(_sandbox.sys, "platform", "darwin")
    with pytest.raises(SandboxError, match=r"no sandbox for darwin.*Linux"):
        _sandbox._working_binary.__wrapped__()


def test_a_machine_that_cannot_isolate_stops_the_run_and_is_no_verdict(monkeypatch):
    def refuse(*_: object, **__: object) -> None:
        raise SandboxError("cannot isolate")

    monkeypatch.setattr(_sandbox, "check_sandbox", refuse)
    with pytest.raises(SandboxError):
        _judge.judge(RIGHT, Example("1", "q", "g", verifier="python_tests", metadata={"tests": SQUARE}))


@pytest.mark.slow  # 2 s: a process of its own
def test_the_unsafe_switch_shouts_once_and_keeps_limits_an_empty_environment_and_a_scratch_directory():
    code = f"""
from whit.verifiers._sandbox import Limits, Sandbox, check_sandbox, run_tests
assert check_sandbox() is None
assert run_tests([{RIGHT!r}], {SQUARE!r}).is_right
look = "import os\\ndef look(): return dict(os.environ), os.listdir('.')"
assert run_tests([look], ["assert look() == ({{}}, [])"]).is_right
pair = Sandbox(None, Limits(cpu_seconds=1, wall_seconds=3.0))
assert "processor" in pair.run(["while True: pass"], ["assert True"]).reason
assert "MemoryError" in pair.run(["x = 'x' * 10 ** 10"], ["assert True"]).reason
assert pair.run([{RIGHT!r}], {SQUARE!r}).is_right
"""
    environment = {**os.environ, "WHIT_UNSAFE_CODE": "1"}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("WITHOUT ISOLATION") == 1


ALLOWED, DENIED, NO_SUCH_CALL, KILLED = 0x7FFF0000, 0x00050001, 0x00050026, 0x80000000


def decided(machine: str, architecture: int, number: int, argument: int = 0, second: int = 0) -> int:
    """What the filter of a machine answers to a system call, as the kernel would run it."""
    words = {0: number, 4: architecture, 16: argument, 24: second}
    instructions = list(struct.iter_unpack("HBBI", seccomp_filter(machine)))
    place, value = 0, 0
    while True:
        code, when_true, when_false, operand = instructions[place]
        place += 1
        if code == 0x06:
            return operand
        if code == 0x20:
            value = words[operand]
        elif code == 0x54:
            value &= operand
        else:
            place += when_true if (value == operand if code == 0x15 else value >= operand) else when_false


@pytest.mark.parametrize(
    ("machine", "architecture", "read", "ptrace", "clone", "prlimit"),
    [("x86_64", 0xC000003E, 0, 101, 56, 302), ("aarch64", 0xC00000B7, 63, 117, 220, 261)],
)
def test_the_filter_refuses_what_it_lists_and_allows_threads(machine, architecture, read, ptrace, clone, prlimit):
    assert decided(machine, architecture, read) == ALLOWED
    assert decided(machine, architecture, ptrace) == DENIED
    assert decided(machine, architecture, 435) == NO_SUCH_CALL  # clone3
    assert decided(machine, architecture, clone, 0x3D0F00) == ALLOWED  # as the C library makes a thread
    assert decided(machine, architecture, clone, 17) == DENIED  # and as it forks
    assert decided(machine, architecture, prlimit, 0) == ALLOWED  # itself
    assert decided(machine, architecture, prlimit, 1) == DENIED  # another
    assert decided(machine, architecture, 0x40000000) == DENIED
    assert decided(machine, 0x40000003, read) == KILLED  # 32-bit x86


@pytest.mark.parametrize(
    ("machine", "architecture", "fcntl", "ioctl"), [("x86_64", 0xC000003E, 72, 16), ("aarch64", 0xC00000B7, 25, 29)]
)
def test_the_filter_refuses_leases_notices_and_flags_of_files_and_calls_that_are_new(
    machine, architecture, fcntl, ioctl
):
    leases = [decided(machine, architecture, fcntl, 3, command) for command in (1024, 1026, 1025, 2)]
    assert leases == [DENIED, DENIED, ALLOWED, ALLOWED]  # F_GETLEASE tells nothing, F_SETFD is what `open` asks
    flags = [decided(machine, architecture, ioctl, 3, command) for command in (0x40086602, 0x401C5820, 0x5401)]
    assert flags == [DENIED, DENIED, ALLOWED]
    assert [decided(machine, architecture, number) for number in (450, 451, 469, 2**30 - 1)] == [ALLOWED] + [
        NO_SUCH_CALL
    ] * 3


def test_there_is_no_filter_for_other_architectures():
    assert seccomp_filter("riscv64") == b""
