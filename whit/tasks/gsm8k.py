"""GSM8K: 8,792 grade-school word problems with worked solutions.  Source: arXiv:2110.14168."""

from collections.abc import Iterator
from pathlib import Path

from whit.core.answers import NOTE
from whit.core.types import Example, Split
from whit.tasks._rows import published_rows, shuffled

DEV_ROWS = 500


def gsm8k(split: Split, *, path: Path | None = None, keep_notes: bool = False) -> Iterator[Example]:
    """The published test set of 1,319; dev is 500 rows held out of the published train set of 7,473.

    path: a folder that holds gsm8k/train.jsonl.gz and gsm8k/test.jsonl.gz; None uses $WHIT_DATA or the hub.
    keep_notes: keep the '<<48/2=24>>' calculator notes in the rationales. The metadata has them either way, as "notes".
    """
    if split == "ood":
        return
    published = "test" if split == "test" else "train"
    rows = published_rows(f"gsm8k/{published}", path, "openai/gsm8k", config="main", split=published)
    ids = [f"gsm8k-{published}-{index:05d}" for index in range(len(rows))]
    dev = set(shuffled(ids, "gsm8k dev")[:DEV_ROWS])
    for identity, row in zip(ids, rows, strict=True):
        if split != "test" and (identity in dev) != (split == "dev"):
            continue
        solution = str(row.get("solution", row["answer"]))  # the hub calls the solution answer
        rationale, _, gold = solution.rpartition("####")
        yield Example(
            id=identity,
            prompt=row["question"],
            gold=gold.strip().replace(",", ""),
            rationale=rationale.strip() if keep_notes else NOTE.sub("", rationale).strip(),
            answer_format="boxed",  # "####" is copied to the front by small chat models: docs/LOG.md
            metadata={"notes": tuple(NOTE.findall(rationale))},
        )
