"""SST-2: 9,613 sentences of film reviews, positive or negative.  Source: Socher et al. 2013, EMNLP."""

from collections.abc import Iterator
from pathlib import Path

from whit.core.types import Example, Split
from whit.tasks._labels import labelled
from whit.tasks._rows import Row, published_rows

HUB = "SetFit/sst2"


def sst2(split: Split, *, list_labels: bool = True, path: Path | None = None) -> Iterator[Example]:
    """As published: 872 sentences for dev, 1,821 for test; 6,916 to train on that these have not.

    list_labels: whether the instruction names the two labels.
    path: a folder that holds sst2/train.jsonl.gz, dev.jsonl.gz and test.jsonl.gz; None uses $WHIT_DATA or the hub.
    """
    rows: dict[Split, list[Row]] = {
        "train": published_rows("sst2/train", path, HUB, split="train"),
        "dev": published_rows("sst2/dev", path, HUB, split="validation"),
        "test": published_rows("sst2/test", path, HUB, split="test"),
    }
    column = "label_text" if "label_text" in rows["train"][0] else "label"
    yield from labelled(
        "sst2", split, rows, column=column, ask="Say what the sentence thinks of the film", list_labels=list_labels
    )
