"""The published rows of a task: from a folder, from $WHIT_DATA, or from the hub; and stable ids and splits for them."""

import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from whit.core.errors import DataError
from whit.core.files import read_rows
from whit.core.hub import data_sets
from whit.core.seeds import key64

Row = dict[str, Any]
WORD = re.compile(r"[^\W_]+")


def published_rows(
    name: str, path: Path | None, hub: str, *, config: str | None = None, split: str = "train"
) -> list[Row]:
    """The rows of the file `name` ("gsm8k/train") as JSONL, or those of `split` of the hub's data set `hub`.

    path: a folder that holds gsm8k/train.jsonl or .jsonl.gz; None looks in $WHIT_DATA, then asks the hub.
    split: "train+test" joins two. Raises DataError that names all three ways when none works.
    """
    folder = path or os.environ.get("WHIT_DATA")
    for suffix in (".jsonl.gz", ".jsonl"):
        if folder and (file := Path(folder, name + suffix)).is_file():
            return read_rows(file)
    if path:
        raise DataError(f"there is no {name}.jsonl.gz or {name}.jsonl in {path}.")
    is_reachable = True
    try:
        import datasets

        with data_sets(hub) as is_reachable:
            return _with_names(datasets.load_dataset(hub, config, split=split))
    except Exception as error:  # not installed, offline, gone: the user has the same three ways in every case
        cause = f"{type(error).__name__}: {str(error).partition(chr(10))[0]}"
        cause = cause if is_reachable else "no network, and not in the cache"
        raise DataError(
            f"the rows of {name} are not on this machine. Set the task's path, or $WHIT_DATA (now "
            f"{os.environ.get('WHIT_DATA', 'not set')}), to a folder that holds {name}.jsonl.gz; or let it read "
            f"'{hub}' from the hub (pip install 'whit[hub]'), which failed: {cause}"
        ) from error


def _with_names(loaded: Any) -> list[Row]:
    """Rows of the hub's data set; beside a column whose numbers stand for names, one of the names, as intent_text."""
    named = {column: kind for column, kind in loaded.features.items() if hasattr(kind, "int2str")}
    return [
        {**row, **{f"{column}_text": kind.int2str(row[column]) for column, kind in named.items()}} for row in loaded
    ]


def text_key(text: str) -> str:
    """The same for texts that differ only in case, spacing and punctuation. Digits are kept."""
    return f"{key64(*WORD.findall(text.lower())):016x}"


def shuffled(groups: Sequence[str], name: str) -> list[str]:
    """The different `groups` in an order that depends on `name` and themselves only, not on where they stand."""
    return sorted(set(groups), key=lambda group: key64(name, group))


def numbered(keys: Sequence[str]) -> list[str]:
    """The keys as ids: the second and later ones of a key get a number."""
    seen: dict[str, int] = {}
    ids = []
    for key in keys:
        seen[key] = seen.get(key, 0) + 1
        ids.append(key if seen[key] == 1 else f"{key}-{seen[key]}")
    return ids
