"""TREC: 6,000 questions by the kind of answer they ask for, six labels.  Source: Li and Roth 2002, COLING."""

from collections.abc import Iterator
from pathlib import Path

from whit.core.types import Example, Split
from whit.tasks._rows import numbered, published_rows, shuffled, text_key

MEANINGS = {
    "ABBR": "an abbreviation or what it stands for",
    "DESC": "a description, definition, manner or reason",
    "ENTY": "a thing, such as an animal, a product or a word",
    "HUM": "a person or group",
    "LOC": "a place",
    "NUM": "a number, date or amount",
}
INSTRUCTION = (
    "Do not answer the question. Say what kind of answer it asks for, with one label only: "
    f"{'; '.join(f'{label} ({meaning})' for label, meaning in MEANINGS.items())}."
)
DEV_GROUPS = 500


def trec(split: Split, *, path: Path | None = None) -> Iterator[Example]:
    """The published test set of 500; dev is 500 questions held out of the published train set of 5,452.

    path: a folder that holds trec/train.jsonl.gz and trec/test.jsonl.gz; None uses $WHIT_DATA or the hub.
    Questions of train that are in test (11 as published) are left out; those that occur twice stay together.
    """
    if split == "ood":
        return
    test = published_rows("trec/test", path, "SetFit/TREC-QC", split="test")
    test_keys = [text_key(row["text"]) for row in test]
    if split == "test":
        rows, keys, chosen = test, test_keys, set(test_keys)
    else:
        rows = published_rows("trec/train", path, "SetFit/TREC-QC", split="train")
        keys = [text_key(row["text"]) for row in rows]
        order = shuffled([key for key in keys if key not in set(test_keys)], "trec dev")
        chosen = set(order[:DEV_GROUPS] if split == "dev" else order[DEV_GROUPS:])
    for identity, key, row in zip(numbered(keys), keys, rows, strict=True):
        if key in chosen:
            yield Example(
                id=f"trec-{identity}",
                prompt=row["text"],
                gold=str(row.get("label_coarse_original", row["label"])),  # the hub's "label" is a number
                verifier="choice",
                group=f"trec-{key}",
                choices=tuple(MEANINGS),
                answer_format="plain",
                instruction=INSTRUCTION,
            )
