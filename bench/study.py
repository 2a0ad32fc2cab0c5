"""What a study adds to its runs: its wall time, with one worker, over the sum of what its jobs take in the worker.

    python bench/study.py [--flops 4e11] [--seeds 2] [--aim 0.02]

Two pipelines of the embedded model on the embedded task, trained, scored and compared, from nothing. What is added is the
start of the worker (imports, which a run by itself pays too), pre-flight, planning and the comparison.
"""

import argparse
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from whit.study.jobs import Job
from whit.study.run import run_study
from whit.study.study import Study

SOURCES = ("rationales", "answers")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--flops", type=float, default=4e11, help="of each run")
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--aim", type=float, default=0.02, help="the most that may be added, as a share")
    arguments = parser.parse_args()
    jobs: dict[str, float] = {}

    def watch(job: Job, event: dict[str, Any]) -> None:
        if event["event"] == "failed":
            sys.exit(f"{job.id}: {event['error']}")
        if event["event"] == "done":
            jobs[job.id] = event["seconds"]

    study = Study.make({
        "name": "bench", "model": "micro-base", "task": "word_problems", "flops": arguments.flops, "seeds": arguments.seeds,
        "max_new_tokens": 80, "evaluate": {"items": 150, "samples": 4},
        "pipeline": [{"name": source, "stage": [{"kind": "sft", "source": source}]} for source in SOURCES],
    })  # fmt: skip
    with tempfile.TemporaryDirectory() as folder:
        directory = Path(folder, "study")
        directory.mkdir()
        started = time.monotonic()
        run_study(study, directory, Path(folder), workers=1, watch=watch)
        whole = time.monotonic() - started
    added = whole - sum(jobs.values())
    for name, seconds in jobs.items():
        print(f"  {name:<24} {seconds:8.2f} s")
    share = added / sum(jobs.values())
    print(f"study {whole:.1f} s, its {len(jobs)} jobs {sum(jobs.values()):.1f} s: {added:.2f} s added, {100 * share:.1f} %"
          f"{'' if share <= arguments.aim else f': more than {100 * arguments.aim:g} %'}")  # fmt: skip


if __name__ == "__main__":
    main()
