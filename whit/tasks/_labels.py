"""Texts with one label out of many, as examples: what is common to the tasks of classification."""

from collections.abc import Iterator, Sequence

from whit.core.similar import clusters, near_duplicates
from whit.core.types import Example, Split
from whit.tasks._rows import Row, numbered, shuffled, text_key

PRECEDENCE: tuple[Split, ...] = ("test", "dev", "train")
DEV_SHARE = 0.1  # of a published train set that has no dev set beside it


def labelled(
    name: str, split: Split, rows: dict[Split, list[Row]], *, column: str, ask: str, list_labels: bool,
    drop: frozenset[str] = frozenset(),
) -> Iterator[Example]:  # fmt: skip
    """The examples of a split. Texts that are almost the same stand in one split: that of test before dev before train.

    rows: by published split; a dev split that is missing is held out of train. column: of the label.
    ask: what is asked for, such as "Say what the message is about". list_labels: whether the instruction names them all.
    drop: labels that are left out.
    """
    if split == "ood":
        return
    kept = {home: [row for row in own if str(row[column]) not in drop] for home, own in rows.items()}
    every = [(home, row) for home, own in kept.items() for row in own]
    labels = tuple(sorted({_words(row[column]) for _, row in every}, key=str.lower))
    instruction = f"{ask}, with one label only."
    if list_labels:
        instruction = f"{instruction[:-1]} of these: {', '.join(labels)}."
    keys = [text_key(row["text"]) for _, row in every]
    homes = _homes([home for home, _ in every], keys, [row["text"] for _, row in every], name)
    for identity, key, home, (_, row) in zip(numbered(keys), keys, homes, every, strict=True):
        if home == split:
            yield Example(
                id=f"{name}-{identity}", prompt=row["text"].strip(), gold=_words(row[column]), verifier="choice",
                group=f"{name}-{key}", choices=labels, answer_format="plain", instruction=instruction,
            )  # fmt: skip


def _homes(published: Sequence[Split], keys: Sequence[str], texts: Sequence[str], name: str) -> list[Split | None]:
    """The split of each text: as published, a share of train for a dev split that is missing; None for what is left out."""
    homes: list[Split | None] = list(published)
    if "dev" not in published:
        of_train = shuffled([key for key, home in zip(keys, published, strict=True) if home == "train"], f"{name} dev")
        held = set(of_train[: round(DEV_SHARE * len(of_train))])
        homes = ["dev" if home == "train" and key in held else home for home, key in zip(homes, keys, strict=True)]
    for members in clusters(len(texts), near_duplicates(texts)):
        found = {homes[index] for index in members}
        home = next(split for split in PRECEDENCE if split in found)
        for index in members:
            homes[index] = home if homes[index] == home else None
    return homes


def _words(label: object) -> str:
    """A label as one writes it: 'card_arrival' is 'card arrival'."""
    return str(label).replace("_", " ").strip(" ?")
