"""What a study adds to its runs: its wall time, with one worker, over the sum of what `whit run` takes for each of them.

    python bench/study.py [--flops 4e11] [--seeds 2] [--aim 0.02]

Two pipelines of the embedded model on the embedded task, trained, scored and compared, from nothing. Untrained models,
which only the study scores, are left out. Planning and the comparison are added; imports and pre-flight are paid once.
"""

import argparse
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from whit.core.settings import write_toml
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
        run_study(study, directory, Path(folder, "artifacts"), workers=1, watch=watch)
        whole = time.monotonic() - started
        arms = sum(seconds for name, seconds in jobs.items() if name.startswith("arm"))
        alone = {
            f"{source}, seed {seed}": by_itself(study, source, seed, Path(folder))
            for source in SOURCES
            for seed in range(arguments.seeds)
        }
    for name, seconds in alone.items():
        print(f"  whit run {name:<24} {seconds:8.2f} s")
    runs = sum(alone.values())
    share = (whole - arms) / runs - 1
    print(f"study {whole:.1f} s, {arms:.1f} of them for untrained models; its runs by themselves {runs:.1f} s")
    print(f"{100 * share:+.1f} %{'' if share <= arguments.aim else f', more than {100 * arguments.aim:g} %'}")


def by_itself(study: Study, pipeline: str, seed: int, folder: Path) -> float:
    """Seconds of `whit run` of one run of the study, from nothing."""
    recipe = folder / f"{pipeline}-{seed}.toml"
    recipe.write_text(write_toml(study.recipe(pipeline, seed).resolved()))
    started = time.monotonic()
    command = [sys.executable, "-m", "whit.cli.main", "run", str(recipe), "--runs", str(folder / recipe.stem)]
    subprocess.run(command, check=True, capture_output=True)
    return time.monotonic() - started


if __name__ == "__main__":
    main()
