"""CLINC150: 15,000 requests to an assistant by what they want, 150 labels.  Source: arXiv:1909.02027."""

from collections.abc import Iterator
from pathlib import Path

from whit.core.types import Example, Split
from whit.tasks._labels import labelled
from whit.tasks._rows import Row, published_rows

HUB = "clinc/clinc_oos"
NONE_OF_THEM = "oos"


def clinc150(
    split: Split, *, list_labels: bool = True, out_of_scope: bool = False, path: Path | None = None
) -> Iterator[Example]:
    """The small version as published: 4,500 requests for test, 2,995 for dev and 7,482 to train on that test has not.

    list_labels: whether the instruction names all labels, some 500 tokens; a model that is trained can do without.
    out_of_scope: with the requests that no label fits, 1,200 in all, whose label is "oos".
    path: a folder that holds train.jsonl.gz, val.jsonl.gz and test.jsonl.gz in clinc150_small; None uses $WHIT_DATA or the
        hub.
    """
    rows: dict[Split, list[Row]] = {
        "train": published_rows("clinc150_small/train", path, HUB, config="small", split="train"),
        "dev": published_rows("clinc150_small/val", path, HUB, config="small", split="validation"),
        "test": published_rows("clinc150_small/test", path, HUB, config="small", split="test"),
    }
    column = "intent_text" if "intent_text" in rows["train"][0] else "label"
    yield from labelled(
        "clinc150", split, rows, column=column, ask="Say what the request is about", list_labels=list_labels,
        drop=frozenset() if out_of_scope else frozenset({NONE_OF_THEM}),
    )  # fmt: skip
