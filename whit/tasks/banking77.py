"""BANKING77: 13,083 messages to a bank by what they want, 77 labels.  Source: arXiv:2003.04807."""

from collections.abc import Iterator
from pathlib import Path

from whit.core.types import Example, Split
from whit.tasks._labels import labelled
from whit.tasks._rows import Row, published_rows

HUB = "mteb/banking77"


def banking77(split: Split, *, list_labels: bool = True, path: Path | None = None) -> Iterator[Example]:
    """The published test set of 3,080; dev is a tenth of the published train set, held out of it.

    list_labels: whether the instruction names all labels, some 500 tokens; a model that is trained can do without.
    path: a folder that holds banking77/train.jsonl.gz and test.jsonl.gz; None uses $WHIT_DATA or the hub.
    """
    rows: dict[Split, list[Row]] = {
        "train": published_rows("banking77/train", path, HUB, split="train"),
        "test": published_rows("banking77/test", path, HUB, split="test"),
    }
    column = "label_text" if "label_text" in rows["train"][0] else "label"  # the hub's "label" is a number
    yield from labelled(
        "banking77", split, rows, column=column, ask="Say what the customer wants", list_labels=list_labels
    )
