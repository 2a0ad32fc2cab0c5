"""A file as a user would bring it: worked solutions of MAWPS and ASDiv problems to train on, SVAMP to test.

    WHIT_DATA=... python bench/svamp_chains.py svamp-chains.jsonl

The solutions are GPT-3.5's chains of arXiv:2401.08967 (svamp_teacher_cot) that end in the reference answer; their closing
"Therefore, the answer is <8>." is taken away, since whit puts the answer in the form that the prompt asks for.
"""

import os
import re
import sys
from pathlib import Path

from whit.core.answers import parse_number, show_number
from whit.core.files import read_rows, write_rows
from whit.core.seeds import key64
from whit.core.similar import near_duplicates

CLOSING = re.compile(r"\s*Therefore,[^.<]*<([^<>]*)>\s*\.?\s*$")
NUM_TRAIN, NUM_DEV = 1_000, 300


def main(out: Path) -> None:
    data = Path(os.environ["WHIT_DATA"])
    chains = [row for row in map(_chain, read_rows(data / "svamp_teacher_cot/train_nl.jsonl.gz")) if row]
    chains.sort(key=lambda row: key64("svamp chains", row["prompt"]))
    test = [
        {"prompt": row["question"].strip(), "answer": _number(row["answer"]), "rationale": "", "split": "test"}
        for row in read_rows(data / "svamp/test.jsonl.gz")
    ]
    # A problem that is almost another one, or one of the test, is left out: the first of a pair stays, and test is first.
    again = {later for _, later in near_duplicates([row["prompt"] for row in test + chains])}
    rows = [row for number, row in enumerate(chains, len(test)) if number not in again][: NUM_TRAIN + NUM_DEV]
    for number, row in enumerate(rows):
        row["split"] = "train" if number < NUM_TRAIN else "dev"
    write_rows(out, rows + test)
    print(f"{out}: {NUM_TRAIN} train and {NUM_DEV} dev of {len(chains)} chains, {len(test)} test")


def _chain(row: dict[str, str]) -> dict[str, str] | None:
    """A row of the file, or None for a chain whose answer is not the reference."""
    closing = CLOSING.search(row["solution"])
    if closing is None or parse_number(closing[1]) != parse_number(row["answer"]):
        return None
    rationale = row["solution"][: closing.start()].strip()
    return {"prompt": row["question"].strip(), "answer": _number(row["answer"]), "rationale": rationale}


def _number(answer: str) -> str:
    value = parse_number(answer)
    assert value is not None, answer
    return show_number(value)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
