"""Rows in files: JSONL, JSON, CSV and Parquet in, JSONL out. An error names the file, the line and what to do."""

import csv
import gzip
import json
import os
import zlib
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from whit.core.errors import DataError, RunError

Row = dict[str, Any]
SUFFIXES = (".jsonl", ".json", ".csv", ".parquet", ".jsonl.gz", ".json.gz", ".csv.gz")


def read_rows(path: Path) -> list[Row]:
    """The rows of a .jsonl, .json, .csv or .parquet file; all but Parquet may be compressed (.gz).

    CSV values are strings; .json holds one list of objects. Raises DataError for anything that is not a row.
    """
    kind = _kind(path)
    if not path.is_file():
        raise DataError(f"there is no file {path}. Give the path of a file that ends in {', '.join(SUFFIXES)}.")
    readers = {".jsonl": _read_jsonl, ".json": _read_json, ".csv": _read_csv, ".parquet": _read_parquet}
    rows = readers[kind](path)
    if not rows:
        raise DataError(f"{path} holds no rows. Was it written to the end?")
    return rows


def plain_texts(path: Path) -> list[str]:
    """The column `text` of a file of rows, or a .txt file as one text. Raises DataError for a file that has neither."""
    if path.suffix == ".txt":
        if not path.is_file():
            raise DataError(f"there is no file {path}. Give the path of a text file.")
        try:
            return [path.read_text(encoding="utf-8")]
        except UnicodeDecodeError as error:
            raise DataError(
                f"{path} is no text in UTF-8 ({error.reason} at byte {error.start}). Save it as UTF-8."
            ) from error
    rows = read_rows(path)
    if "text" not in rows[0]:
        raise DataError(f"{path} has the columns {', '.join(map(str, rows[0]))}. Call the one of plain text 'text'.")
    return [str(row["text"]) for row in rows]


def read_record(path: Path) -> dict[str, Any]:
    """The JSON object that whit wrote to a file of its own. Raises RunError when it is damaged."""
    try:
        record = json.loads(path.read_text())
    except PermissionError as error:
        raise RunError(f"{path} cannot be read: {error.strerror}. Give yourself the right to read it.") from error
    except (OSError, ValueError) as error:
        raise RunError(f"{path} is damaged ({error}). Delete it and run again: what is finished is kept.") from error
    if not isinstance(record, dict):
        raise RunError(f"{path} is damaged: it holds no JSON object. Delete it and run again.")
    return record


def made_beside(record: Path, path: str) -> Path | None:
    """A directory of the store that a record names, as it was written or from any directory the command is given in."""
    made = Path(path)
    inside = made.parts[made.parts.index("artifacts") + 1 :] if "artifacts" in made.parts else (made.name,)
    places = [made, *(parent.joinpath("artifacts", *inside) for parent in record.resolve().parents)]
    return next((place for place in places if path and place.is_dir()), None)


def write_rows(path: Path, rows: Iterable[Mapping[str, Any]]) -> None:
    """Write rows as JSONL (.jsonl or .jsonl.gz). The file appears whole or not at all, and equal rows give equal bytes.

    Raises RunError when it cannot be written, for example because the disk is full.
    """
    if _kind(path) != ".jsonl":
        raise DataError(f"{path}: rows are written as .jsonl or .jsonl.gz. Change the name.")
    beside = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with open(beside, "wb") as file:
            if path.suffix == ".gz":
                with gzip.GzipFile(filename="", mode="wb", fileobj=file, mtime=0) as compressed:
                    compressed.writelines(map(_line, rows))
            else:
                file.writelines(map(_line, rows))
        beside.replace(path)
    except OSError as error:
        raise RunError(
            f"{path} cannot be written: {error.strerror or error}. Nothing was left behind; "
            "free some space or choose another place."
        ) from error
    finally:
        with suppress(OSError):  # gone when all went well
            beside.unlink()


def _kind(path: Path) -> str:
    kind = Path(path.stem).suffix if path.suffix == ".gz" else path.suffix
    if f"{kind}{'.gz' if path.suffix == '.gz' else ''}" not in SUFFIXES:
        raise DataError(f"{path}: rows cannot be read from this kind of file. Known endings: {', '.join(SUFFIXES)}.")
    return kind


def _read_jsonl(path: Path) -> list[Row]:
    rows = []
    for number, line in _lines(path):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except json.JSONDecodeError as error:
            raise DataError(
                f"{path}, line {number}: not JSON: {error.msg} at column {error.colno}. "
                "Every line must be one JSON object; correct or remove this line."
            ) from None
        if not isinstance(row, dict):
            raise DataError(f"{path}, line {number}: a {type(row).__name__}, but every line must be one JSON object.")
        rows.append(row)
    return rows


def _read_json(path: Path) -> list[Row]:
    try:
        rows = json.loads("".join(line for _, line in _lines(path)) or "[]")
    except json.JSONDecodeError as error:
        hint = " It looks like JSON Lines: rename it to .jsonl." if error.msg == "Extra data" else ""
        raise DataError(f"{path}, line {error.lineno}: not JSON: {error.msg}.{hint}") from None
    if not isinstance(rows, list):
        raise DataError(f"{path}: a {type(rows).__name__}, but a list of objects is needed: [{{...}}, {{...}}].")
    for number, row in enumerate(rows, 1):
        if not isinstance(row, dict):
            raise DataError(f"{path}, element {number}: a {type(row).__name__}, but every element must be an object.")
    return rows


def _read_csv(path: Path) -> list[Row]:
    reader = csv.reader((line for _, line in _lines(path)), strict=True)
    rows = []
    try:
        columns = next(reader, [])
        if len(set(columns)) < len(columns):
            twice = next(name for name in columns if columns.count(name) > 1)
            raise DataError(f"{path}, line 1: two columns are called '{twice}'. Rename one.")
        for cells in reader:
            if cells and len(cells) != len(columns):
                raise DataError(
                    f"{path}, line {reader.line_num}: {len(cells)} cells for the {len(columns)} columns of line 1. "
                    "Put double quotes around cells that hold commas or line breaks."
                )
            if cells:
                rows.append(dict(zip(columns, cells, strict=True)))
    except csv.Error as error:
        raise DataError(f"{path}, line {reader.line_num}: not CSV: {error}. Is a double quote not closed?") from None
    return rows


def _read_parquet(path: Path) -> list[Row]:
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError:
        raise DataError(
            f"{path}: reading Parquet needs pyarrow. Run pip install 'whit[parquet]', or save the rows as CSV."
        ) from None
    try:
        rows: list[Row] = pyarrow.parquet.read_table(path).to_pylist()
    except pyarrow.ArrowException as error:
        raise DataError(f"{path}: not a whole Parquet file: {error}. Copy or write it again.") from error
    return rows


def _lines(path: Path) -> Iterator[tuple[int, str]]:
    """(line number, text) of a file that may be compressed. Only '\\n' ends a line: JSON strings may hold U+2028."""
    number = 0
    try:
        with gzip.open(path, "rb") if path.suffix == ".gz" else open(path, "rb") as file:
            for number, raw in enumerate(file, 1):
                yield number, raw.decode("utf-8-sig" if number == 1 else "utf-8")
    except UnicodeDecodeError as error:
        raise DataError(
            f"{path}, line {number}: not UTF-8 (byte {error.object[error.start]:#04x}). "
            "Save the file as UTF-8; spreadsheets call it 'CSV UTF-8'."
        ) from None
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise DataError(
            f"{path}: damaged or cut off after line {number}: {error}. Copy or download the file again."
        ) from None
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}.") from error


def _line(row: Mapping[str, Any]) -> bytes:
    # A lone surrogate cannot be UTF-8; "backslashreplace" writes it as \udXXX, which is its JSON escape.
    return json.dumps(row, ensure_ascii=False).encode("utf-8", "backslashreplace") + b"\n"
