"""Rows in files: what is written is read back, and every damaged file says where it is damaged and what to do."""

import gzip
import resource
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from whit.core.errors import DataError, RunError
from whit.core.files import read_rows, write_rows

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(st.characters(exclude_categories=())),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=3), inner, max_size=2),
    max_leaves=5,
)


@pytest.mark.parametrize("name", ["rows.jsonl", "rows.jsonl.gz"])
@given(rows=st.lists(st.dictionaries(st.text(max_size=5), JSON, max_size=3), min_size=1, max_size=4))
def test_what_is_written_is_read_back(tmp_path_factory, name, rows):
    path = tmp_path_factory.mktemp("rows") / name
    write_rows(path, rows)
    assert read_rows(path) == rows


def test_equal_rows_give_equal_bytes(tmp_path):
    for name in ("a.jsonl.gz", "b.jsonl.gz"):
        write_rows(tmp_path / name, [{"x": 1}])
    assert (tmp_path / "a.jsonl.gz").read_bytes() == (tmp_path / "b.jsonl.gz").read_bytes()


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("rows.jsonl", '{"q": "a\u2028b", "n": "1"}\n\n{"q": "c", "n": "2"}\n'),
        ("rows.json", '[{"q": "a\u2028b", "n": "1"},\n {"q": "c", "n": "2"}]'),
        ("rows.csv", "q,n\na\u2028b,1\n\nc,2\n"),
        ("rows.csv", '\ufeffq,n\r\n"a\u2028b",1\r\nc,2'),  # as spreadsheets write it
    ],
)
@pytest.mark.parametrize("compressed", [False, True])
def test_each_text_format_gives_the_same_rows(tmp_path, name, text, compressed):
    path = tmp_path / (f"{name}.gz" if compressed else name)
    path.write_bytes(gzip.compress(text.encode()) if compressed else text.encode())
    assert read_rows(path) == [{"q": "a\u2028b", "n": "1"}, {"q": "c", "n": "2"}]


def test_a_csv_cell_may_hold_commas_quotes_and_line_breaks(tmp_path):
    path = tmp_path / "rows.csv"
    path.write_text('q,n\n"one, ""two""\nthree",4\n')
    assert read_rows(path) == [{"q": 'one, "two"\nthree', "n": "4"}]


def test_parquet_rows(tmp_path):
    pyarrow = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    parquet.write_table(pyarrow.table({"q": ["a", "c"], "n": [1, None]}), tmp_path / "rows.parquet")
    assert read_rows(tmp_path / "rows.parquet") == [{"q": "a", "n": 1}, {"q": "c", "n": None}]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("rows.jsonl", b'{"a": 1}\n{"a": }\n', r"line 2: not JSON: Expecting value at column 7\. .* remove this line"),
        ("rows.jsonl", b'{"a": 1}\n[1]\n', r"line 2: a list, but every line must be one JSON object"),
        ("rows.jsonl", b'{"a": 1}\n{"a": "\xe9"}\n', r"line 2: not UTF-8 \(byte 0xe9\)\. Save the file as UTF-8"),
        ("rows.csv", "q,n\na,1\n".encode("utf-16"), r"line 1: not UTF-8 \(byte 0xff\)"),
        ("rows.jsonl", b"", r"holds no rows"),
        ("rows.json", b"", r"holds no rows"),
        ("rows.json", b'{"a": 1}', r"a dict, but a list of objects is needed"),
        ("rows.json", b"[{}, 1]", r"element 2: a int, but every element must be an object"),
        ("rows.json", b'{"a": 1}\n{"a": 2}', r"line 2: not JSON: Extra data\. It looks like JSON Lines: rename it"),
        ("rows.csv", b"q,n\n", r"holds no rows"),
        ("rows.csv", b"q,n\na,1\nb,2,3\n", r"line 3: 3 cells for the 2 columns of line 1\. Put double quotes"),
        ("rows.csv", b"q,n\na\n", r"line 2: 1 cells for the 2 columns"),
        ("rows.csv", b'q,n\n"a,1\n', r"line 2: not CSV: unexpected end of data\. Is a double quote not closed"),
        ("rows.csv", b"q,q\na,1\n", r"line 1: two columns are called 'q'\. Rename one"),
        (
            "rows.jsonl.gz",
            gzip.compress(b'{"a": 1}\n' * 9, mtime=0)[:-9],
            r"damaged or cut off after line \d: .* again",
        ),
        ("rows.jsonl.gz", b'{"a": 1}\n', r"damaged or cut off after line 0: Not a gzipped file"),
        ("rows.parquet", b"PAR1", r"not a whole Parquet file"),
        ("rows.xlsx", b"", r"cannot be read from this kind of file\. Known endings: \.jsonl, "),
        ("rows.parquet.gz", b"", r"cannot be read from this kind of file"),
    ],
)
def test_a_damaged_file_says_where_and_what_to_do(tmp_path, name, content, message):
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(DataError, match=message) as caught:
        read_rows(path)
    assert str(path) in str(caught.value)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(DataError, match=r"there is no file .*rows\.csv"):
        read_rows(tmp_path / "rows.csv")


def test_a_file_that_cannot_be_written_leaves_nothing_behind(tmp_path):
    old = tmp_path / "rows.jsonl"
    write_rows(old, [{"a": 1}])
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, hard))  # stands in for a full disk
    try:
        with pytest.raises(RunError, match=r"rows\.jsonl cannot be written: .* free some space"):
            write_rows(old, ({"a": "x" * 100} for _ in range(100)))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert read_rows(old) == [{"a": 1}]
    assert [file.name for file in tmp_path.iterdir()] == ["rows.jsonl"]


def test_a_place_that_is_no_directory_is_refused(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(RunError, match="cannot be written"):
        write_rows(tmp_path / "file" / "rows.jsonl", [{"a": 1}])


def test_only_jsonl_is_written():
    with pytest.raises(DataError, match="Change the name"):
        write_rows(Path("rows.csv"), [])
