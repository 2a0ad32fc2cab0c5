"""MultiArith: 600 two-step arithmetic word problems, answers only.  Source: Roy and Roth 2015, EMNLP."""

from collections.abc import Iterator
from pathlib import Path

from whit.core.answers import parse_number, show_number
from whit.core.types import Example, Split
from whit.tasks._rows import numbered, published_rows, shuffled, text_key

SHARES: dict[Split, tuple[float, float]] = {"test": (0.0, 0.3), "dev": (0.3, 0.4), "train": (0.4, 1.0)}


def multiarith(split: Split, *, path: Path | None = None) -> Iterator[Example]:
    """60% train, 10% dev and 30% test of the 580 different questions; the 20 that occur twice stay together.

    path: a folder that holds multiarith/all.jsonl.gz; None uses $WHIT_DATA or the hub.
    The training split of `svamp` holds these questions too: a model trained there has no test set here.
    """
    if split == "ood":
        return
    rows = published_rows("multiarith/all", path, "ChilleD/MultiArith", split="train+test")
    keys = [text_key(row["question"]) for row in rows]
    order = shuffled(keys, "multiarith")
    low, high = (round(share * len(order)) for share in SHARES[split])
    chosen = set(order[low:high])
    for identity, key, row in zip(numbered(keys), keys, rows, strict=True):
        gold = parse_number(str(row.get("answer", row.get("final_ans"))))
        if key in chosen and gold is not None:
            yield Example(
                id=f"multiarith-{identity}",
                prompt=row["question"].strip(),
                gold=show_number(gold),
                group=f"multiarith-{key}",
                answer_format="boxed",
            )
