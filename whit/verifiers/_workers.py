"""Verdicts in processes of their own while the model goes on writing: a slow verifier costs no time of the device.

A quick verifier answers where it is called, which is sooner than asking another process. One that may hang says so as
MAX_SECONDS in its file, and is asked in a worker always. Examples and verdicts travel as lines of JSON, so nothing is
pickled, and a verifier that crashes or hangs takes no run with it.
"""

import json
import os
import queue
import resource
import select
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import asdict, replace
from functools import cache
from time import perf_counter
from typing import Any

from whit.core.answers import completion_text
from whit.core.types import Completion, Example, Verdict
from whit.verifiers._named import judge_here, max_seconds

SLOW_SECONDS = 0.005  # of the quickest of the last verdicts; asking a worker costs a tenth of a millisecond
TIMED = 4  # verdicts that have to be that slow: the first one may import something
MAX_SECONDS = 60.0  # of one verdict in a worker, where its verifier declares nothing
IMPORT_SECONDS = 60.0  # more for a verifier's first verdict in a worker; also for a worker to start
MAX_BYTES = 4 << 30  # of memory that a verifier which declares MAX_SECONDS may use

BLAMED = ("crash", "timeout", "undecided")  # what a completion may bring about

_seconds: dict[str, deque[float]] = {}  # of each verifier's last verdicts here


def judge_later(text: str, example: Example) -> Future[Verdict]:
    """The verdict on one completion, now or when a worker has it.

    A worker's verifier that takes longer than MAX_SECONDS has the status "timeout", one that ends its process the status
    "crash", and one whose worker does not come up "not_started". Whose fault the first two are, `Verdicts` says.
    To a verifier that declares MAX_SECONDS, the tuples of an example's metadata are lists.
    """
    name = example.verifier
    verdict: Future[Verdict] = Future()
    if max_seconds(name) is not None:
        try:
            return _pool().submit(json.dumps([text, asdict(example)]), name)
        except (TypeError, ValueError) as error:
            verdict.set_result(Verdict(correct=False, status="crash", reason=f"'{example.id}' is no JSON: {error}"))
            return verdict
    seconds = _seconds.setdefault(name, deque(maxlen=TIMED))
    if len(seconds) == TIMED and min(seconds) > SLOW_SECONDS and (line := _line(text, example)):
        return _pool().submit(line, name)
    started = perf_counter()
    verdict.set_result(judge_here(text, example))
    seconds.append(perf_counter() - started)
    return verdict


class Verdicts:
    """What is said of completions as they end: hand `finished` to the engine, and take `groups` when it is done.

    decode: token ids to text.
    """

    def __init__(self, examples: Sequence[Example], decode: Callable[[Sequence[int]], str]):
        self.examples, self.decode = examples, decode
        self._texts: dict[tuple[int, int], str] = {}
        self._verdicts: dict[tuple[int, int], Future[Verdict]] = {}
        self._is_gold_taken: dict[int, bool] = {}  # of the examples at which the verifier failed

    def finished(self, prompt: int, sample: int, completion: Completion) -> None:
        """Judge one completion of the example number `prompt`."""
        text = self.decode(completion.ids)
        self._texts[prompt, sample] = text
        self._verdicts[prompt, sample] = judge_later(text, self.examples[prompt])

    def groups(self) -> list[list[tuple[str, Verdict]]]:
        """Text and verdict of every completion, by example and sample; waits for those that are not there yet.

        Where the verifier failed, they say whether the completion is to blame (`Verdict.is_at_fault`).
        """
        found: list[list[tuple[str, Verdict]]] = [[] for _ in self.examples]
        for (prompt, sample), text in sorted(self._texts.items()):
            found[prompt].append((text, self._blamed(self._verdicts[prompt, sample].result(), prompt)))
        return found

    def _blamed(self, verdict: Verdict, prompt: int) -> Verdict:
        """Where the verifier failed: the completion is wrong if the example's gold answer passes the same verifier now.

        Else nothing is known of the completion. Without this a completion could choose not to be judged.
        """
        if verdict.status not in BLAMED:
            return verdict
        if prompt not in self._is_gold_taken:
            gold = completion_text(self.examples[prompt], with_rationale=False)
            self._is_gold_taken[prompt] = judge_later(gold, self.examples[prompt]).result().correct
        if not self._is_gold_taken[prompt]:
            return verdict
        return replace(verdict, correct=False, strict=False, reward=verdict.reward or 0.0, is_at_fault=True)


def serve() -> None:
    """A worker: an empty line when it is up; then a line with a completion and its example in, one with the verdict out."""
    out = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what a verifier prints is no verdict
    print(file=out, flush=True)  # it is up: from here on it is a verifier that fails
    for line in sys.stdin:
        text, fields = json.loads(line)
        example = Example(**{**fields, "choices": tuple(fields["choices"])})
        _limit_memory(None if max_seconds(example.verifier) is None else MAX_BYTES)
        verdict = judge_here(text, example)
        print(json.dumps(asdict(verdict), default=str), file=out, flush=True)


class Pool:
    """Worker processes that share one queue; each starts with its first verdict and ends with this process."""

    def __init__(self, size: int, max_seconds: float = MAX_SECONDS):
        self.max_seconds = max_seconds
        self._waiting: queue.SimpleQueue[tuple[str, str, Future[Verdict]]] = queue.SimpleQueue()
        for _ in range(size):
            threading.Thread(target=self._attend, daemon=True).start()

    def submit(self, line: str, name: str = "") -> Future[Verdict]:
        """line: what `_line` makes of a completion and its example. name: of its verifier, which may have a limit."""
        verdict: Future[Verdict] = Future()
        self._waiting.put((line, name, verdict))
        return verdict

    def _attend(self) -> None:
        worker: subprocess.Popen[str] | None = None
        met: set[str] = set()  # the verifiers that this worker has asked before
        while True:
            line, name, verdict = self._waiting.get()
            try:
                if worker is None or worker.poll() is not None:  # or it ended after its last verdict
                    worker, met = _start(), set()
                if worker is None:
                    verdict.set_result(Verdict(correct=False, status="not_started", reason="no worker process came up"))
                    continue
                seconds = max_seconds(name) or self.max_seconds
                answer = _ask(worker, line, seconds if name in met else seconds + IMPORT_SECONDS)
                met.add(name)
                if answer is None:
                    worker.kill()
                    worker.wait()
                    reason = f"no verdict after {seconds:g} s"
                    answer, worker = {"correct": False, "status": "timeout", "reason": reason}, None
                elif not answer:
                    reason = f"the verifier ended its process (status {_ended(worker)})"
                    answer, worker = {"correct": False, "status": "crash", "reason": reason}, None
                verdict.set_result(Verdict(**answer))
            except Exception as error:  # whoever waits must hear of it
                worker = None
                verdict.set_exception(error)


def _ask(worker: "subprocess.Popen[str]", line: str, seconds: float) -> Mapping[str, Any] | None:
    """The verdict's fields; none of them if the worker has ended, None if it takes too long."""
    assert worker.stdin and worker.stdout
    try:
        print(line, file=worker.stdin, flush=True)
    except BrokenPipeError:
        return {}
    if not select.select([worker.stdout], [], [], seconds)[0]:
        return None
    try:
        return json.loads(worker.stdout.readline() or "{}")  # type: ignore[no-any-return]
    except ValueError:  # it ended in the middle of a line
        return {}


def _ended(worker: "subprocess.Popen[str]") -> int:
    """Its exit status; one that only closed its output is ended."""
    try:
        return worker.wait(5)
    except subprocess.TimeoutExpired:
        worker.kill()
        return worker.wait()


@cache
def _pool() -> Pool:
    return Pool(max(1, (os.cpu_count() or 2) - 1))


def _start() -> "subprocess.Popen[str] | None":
    """A worker that has said that it is up; None if none comes up."""
    code = "from whit.verifiers._workers import serve; serve()"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    try:
        worker = subprocess.Popen(
            [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
        )
    except OSError:
        return None
    assert worker.stdout
    if select.select([worker.stdout], [], [], IMPORT_SECONDS)[0] and worker.stdout.readline():
        return worker
    worker.kill()
    worker.wait()
    return None


def _limit_memory(num_bytes: int | None) -> None:
    """num_bytes: what this process may have from now on; None takes the limit away."""
    _, hard = resource.getrlimit(resource.RLIMIT_DATA)
    soft = hard if num_bytes is None else num_bytes
    resource.setrlimit(resource.RLIMIT_DATA, (soft if hard == resource.RLIM_INFINITY else min(soft, hard), hard))


def _line(text: str, example: Example) -> str:
    """What a worker reads; empty for an example that JSON would change."""
    fields = asdict(example)
    try:
        line = json.dumps([text, fields])
    except (TypeError, ValueError):
        return ""
    return line if json.loads(line)[1]["metadata"] == fields["metadata"] else ""
