"""A data set of the Hugging Face hub as a source."""

from collections.abc import Mapping
from typing import Any, Literal

from whit.core.errors import DataError
from whit.core.hub import data_sets
from whit.core.types import AnswerFormat
from whit.data.sources._columns import SPLIT_NAMES, Columns, examples_of
from whit.data.splits import Splits, split_examples


def hub(
    name: str,
    *,
    config: str | None = None,
    revision: str | None = None,
    columns: Columns = None,
    verifier: str | None = None,
    answer_format: AnswerFormat | None = None,
    seed: int = 0,
    dev_frac: float = 0.1,
    test_frac: float = 0.2,
    on_duplicates: Literal["error", "drop"] = "drop",
) -> Splits:
    """The data set `name`, such as "openai/gsm8k", as examples in train, dev and test.

    config: the data set's configuration, such as "main". revision: a commit, tag or branch, to freeze what is read.
    on_duplicates: "drop" by default, since nobody can edit a published data set.
    The other settings are those of the source `file`. Published splits are respected; one that is neither train,
    validation nor test is left out and named in the notes.
    """
    published = _load(name, config, revision)
    known = {split: rows for split, rows in published.items() if split in SPLIT_NAMES}
    notes = [
        f"the split '{split}' ({len(published[split]):,} rows) is not used" for split in published if split not in known
    ]
    if not known and len(published) > 1:
        raise DataError(
            f"{name}: none of the splits {', '.join(published)} is called train, validation or test. "
            "Save the one you want as a file and give its path."
        )
    if known:
        rows = [{**row, "split": split} for split, split_rows in known.items() for row in split_rows]
    else:
        notes, rows = [], [row for split_rows in published.values() for row in split_rows]
    examples, given, detected = examples_of(rows, name, columns=columns, verifier=verifier, answer_format=answer_format)
    splits = split_examples(
        examples, given, seed=seed, dev_frac=dev_frac, test_frac=test_frac, on_duplicates=on_duplicates
    )
    return Splits(splits.examples, splits.num_dropped, (*notes, *detected, *splits.notes))


def _load(name: str, config: str | None, revision: str | None) -> Mapping[str, Any]:
    """Rows by split. Integer class labels are written out as their names."""
    try:
        import datasets
    except ImportError:
        raise DataError(
            f"{name}: reading the hub needs the package datasets. Run pip install 'whit[hub]', or give a file."
        ) from None
    with data_sets(name) as is_reachable:
        try:
            loaded = datasets.load_dataset(name, config, revision=revision)
        except Exception as error:  # datasets raises a dozen types for: offline, no such name, config needed, no access
            first_line = str(error).partition("\n")[0]
            reason = f"{type(error).__name__}: {first_line}" if is_reachable else "no network, and not in the cache"
            raise DataError(
                f"the data set '{name}' cannot be read from the hub: {reason}. Check the name, "
                "config and network; on a machine without network, download it elsewhere and give it as a file."
            ) from error
    return {split: [_written_out(row, rows.features) for row in rows] for split, rows in loaded.items()}


def _written_out(row: Mapping[str, Any], features: Mapping[str, Any]) -> dict[str, Any]:
    """The row with class labels as names. A label of -1 stands for 'not published' and stays empty."""
    return {
        name: (features[name].int2str(value) if value is not None and value >= 0 else None)
        if hasattr(features[name], "int2str")
        else value
        for name, value in row.items()
    }
