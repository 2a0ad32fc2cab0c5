"""Jobs on this machine: long-lived worker processes, one a core, each with one thread.

Two one-threaded processes do more than one with two threads at this size, and a worker that dies takes one job with it.
"""

import json
import os
import queue
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from whit.core.errors import RunError, UsageError
from whit.study.jobs import Job

Watch = Callable[[Job, dict[str, Any]], None]


class _Worker:
    def __init__(
        self, index: int, arguments: list[str], threads: int, events: "queue.Queue[tuple[int, Any]]", log: Path
    ):
        environment = {**os.environ, "OMP_NUM_THREADS": str(threads), "TOKENIZERS_PARALLELISM": "false"}
        environment["PYTHONWARNINGS"] = "ignore"
        self.job: Job | None = None
        self.log = log.open("a")
        self.process = subprocess.Popen(
            [sys.executable, "-m", "whit.study.worker", *arguments],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self.log, text=True, env=environment,
            start_new_session=True,
        )  # fmt: skip
        threading.Thread(target=self._listen, args=(index, events), daemon=True).start()

    def give(self, job: Job) -> None:
        assert self.process.stdin is not None
        self.job = job
        with suppress(BrokenPipeError):  # it has just died, which its end of output tells
            self.process.stdin.write(json.dumps(job.to_plain()) + "\n")
            self.process.stdin.flush()

    def stop(self) -> None:
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGTERM)
        self.process.wait()
        self.log.close()

    def _listen(self, index: int, events: "queue.Queue[tuple[int, Any]]") -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            events.put((index, json.loads(line)))
        events.put((index, None))


def run_jobs(
    jobs: Sequence[Job],
    directory: Path,
    root: Path,
    *,
    workers: int,
    threads: int,
    device: str,
    watch: Watch,
    plan: str = "study.toml",
) -> dict[str, dict[str, Any]]:
    """Do the jobs, each after those it names. Returns each job's last event, by id.

    watch: sees every event of every job as it comes. plan: the file in `directory` that the jobs are of.
    Raises UsageError when a request was wrong as written; other failures are events of their job. A run whose worker
    died is handed to a new one once, to be scored and recorded as failed.
    """
    events: queue.Queue[tuple[int, Any]] = queue.Queue()
    arguments = [str(directory), str(root), device, plan]
    pool = [
        _Worker(i, arguments, threads, events, directory / f"worker-{i}.log") for i in range(min(workers, len(jobs)))
    ]
    waiting, results = list(jobs), dict[str, dict[str, Any]]()
    try:
        while len(results) < len(jobs):
            _hand_out(pool, waiting, results)
            index, event = events.get()
            job = pool[index].job
            if event is None:  # the process ended: out of memory, or killed
                status = pool[index].process.wait()
                if job is None:
                    raise RunError(f"a worker could not start; see {pool[index].log.name}.")
                log = pool[index].log.name
                died = f"the worker died (status {status}{', out of memory?' if status == -9 else ''}); see {log}"
                event = {"event": "failed", "id": job.id, "error": died, "exit_code": 1}
                pool[index].stop()
                pool[index] = _Worker(index, arguments, threads, events, directory / f"worker-{index}.log")
                if job.kind == "run" and not job.failure:
                    waiting.insert(0, replace(job, failure=died))
                    continue
            assert job is not None
            watch(job, event)
            if event["event"] == "progress":
                continue
            if event.get("exit_code") == 2:
                raise UsageError(f"{job.id}: {event['error']}")
            results[job.id] = event
            pool[index].job = None
    finally:
        for worker in pool:
            worker.stop()
    return results


def _hand_out(pool: list[_Worker], waiting: list[Job], results: dict[str, dict[str, Any]]) -> None:
    for worker in pool:
        if worker.job is not None:
            continue
        ready = next((job for job in waiting if all(name in results for name in job.after)), None)
        if ready is None:
            return
        waiting.remove(ready)
        worker.give(ready)
