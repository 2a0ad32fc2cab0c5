"""MBPP: 974 short Python functions, each asked for in a sentence with three assertions.  Source: arXiv:2108.07732."""

import re
from collections.abc import Iterator
from pathlib import Path

from whit.core.types import Example, Split
from whit.tasks._programs import program_example
from whit.tasks._rows import Row, published_rows

# The published splits are ranges of task_id; the ten of the paper's prompt go to train.
RANGES: dict[Split, tuple[tuple[int, int], ...]] = {
    "train": ((1, 10), (601, 974)),
    "dev": ((511, 600),),
    "test": ((11, 510),),
}
FUNCTION = re.compile(r"^def\s+(\w+)", re.MULTILINE)


def mbpp(split: Split, *, path: Path | None = None, sanitized: bool = False) -> Iterator[Example]:
    """The published splits: train 384 (its ten prompt rows included), dev 90 and test 500 as published.

    As published, the solution of 23 test problems is that of a train problem but for the function's name.

    path: a folder that holds mbpp/all.jsonl.gz and mbpp/sanitized.jsonl.gz; None uses $WHIT_DATA or the hub.
    sanitized: the 427 that people checked and reworded: train 127, dev 43, test 257.
    """
    if split == "ood":
        return
    name, config = ("mbpp/sanitized", "sanitized") if sanitized else ("mbpp/all", "full")
    every = "prompt+train+validation+test"
    for row in published_rows(name, path, "google-research-datasets/mbpp", config=config, split=every):
        if any(low <= row["task_id"] <= high for low, high in RANGES[split]):
            yield _example(row)


def _example(row: Row) -> Example:
    solution = row.get("canonical_solution", row.get("code"))  # the hub calls it code
    task, tests = row.get("prompt", row.get("text")), list(row["test_list"])
    assert isinstance(solution, str) and isinstance(task, str), row
    shown = "\n".join(tests)
    called = (name for name in FUNCTION.findall(solution) if re.search(rf"\b{name}\s*\(", shown))
    return program_example(
        f"mbpp-{row['task_id']}",
        f"{task.strip()}\nYour code should pass these tests:\n{shown}",
        solution.replace("\r\n", "\n"),
        entry_point=row.get("entry_point") or next(called),
        tests=tests,
        setup=row.get("test_setup_code") or "\n".join(row.get("test_imports") or ()),
    )
