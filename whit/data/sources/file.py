"""A user's own file as a source: CSV, JSONL, JSON or Parquet, no code needed."""

from pathlib import Path
from typing import Literal

from whit.core.files import read_rows
from whit.core.types import AnswerFormat
from whit.data.sources._columns import Columns, examples_of
from whit.data.splits import Splits, split_examples


def file(
    path: Path,
    *,
    columns: Columns = None,
    verifier: str | None = None,
    answer_format: AnswerFormat | None = None,
    seed: int = 0,
    dev_frac: float = 0.1,
    test_frac: float = 0.2,
    on_duplicates: Literal["error", "drop"] = "error",
) -> Splits:
    """The rows of a .csv, .jsonl, .json or .parquet file as examples in train, dev and test.

    columns: "prompt=question,answer=label" or a mapping. The fields are prompt and answer, and optionally rationale,
        group, split and id. A field that is not named is looked for: prompt, question, text, input or problem; answer,
        label, target or gold; rationale or solution. The other columns become the example's metadata.
    verifier: None takes "exact_number" when all answers are numbers, "choice" for a few labels that repeat, else
        "exact_text"; the notes of the result say which.
    answer_format: None takes what the verifier's own file asks for, such as a block of Python for "python_tests", else
        "plain" for labels and JSON without rationales, else "boxed".
    seed, dev_frac, test_frac, on_duplicates: see `split_examples`. A split column is respected.
    Raises DataError that names the file and the row.
    """
    examples, given, notes = examples_of(
        read_rows(path), str(path), columns=columns, verifier=verifier, answer_format=answer_format
    )
    splits = split_examples(
        examples, given, seed=seed, dev_frac=dev_frac, test_frac=test_frac, on_duplicates=on_duplicates
    )
    return Splits(splits.examples, splits.num_dropped, (*notes, *splits.notes))
