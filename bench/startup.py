"""What a user waits for besides the work: the command line, the import, the statistics.

    python bench/startup.py [--times 5] [--items 10000] [--runs 16]

The statistics are those of a study of 4 pipelines: --runs runs in all, one verdict of each on every item.
"""

import argparse
import statistics
import subprocess
import sys
import time
from collections.abc import Callable


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--times", type=int, default=5)
    parser.add_argument("--items", type=int, default=10_000)
    parser.add_argument("--runs", type=int, default=16)
    arguments = parser.parse_args()
    shown(arguments.times, "whit --help", lambda: subprocess.run([*WHIT, "--help"], capture_output=True, check=True))
    shown(arguments.times, "import whit", lambda: subprocess.run([sys.executable, "-c", "import whit"], check=True))
    shown(arguments.times, "python alone", lambda: subprocess.run([sys.executable, "-c", ""], check=True))
    intervals(100, 16)  # imports
    name = f"statistics of {arguments.items:,} items x {arguments.runs} runs"
    shown(arguments.times, name, lambda: intervals(arguments.items, arguments.runs))


WHIT = [sys.executable, "-m", "whit.cli.main"]


def intervals(num_items: int, num_runs: int) -> None:
    """Every pipeline against the best, with simultaneous intervals."""
    import numpy as np

    from whit.stats.paired import compare_to_best

    rng = np.random.default_rng(0)
    easy = rng.normal(size=num_items)
    pipelines = {}
    for pipeline in range(4):
        runs = easy + rng.normal(size=(num_runs // 4, num_items)) > 0.1 * pipeline
        pipelines[f"p{pipeline}"] = runs.astype(float)
    compare_to_best(pipelines, [str(i) for i in range(num_items)])


def shown(times: int, name: str, work: Callable[[], object]) -> None:
    seconds = []
    for _ in range(times):
        started = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - started)
    print(f"{name:<40} {statistics.median(seconds):.3f} s [{min(seconds):.3f}, {max(seconds):.3f}]")


if __name__ == "__main__":
    main()
