"""SVAMP: 1,000 one-step word problems that vary the wording of known ones.  Source: arXiv:2103.07191."""

from collections.abc import Iterator
from pathlib import Path

from whit.core.answers import parse_number, show_number
from whit.core.types import Example, Split
from whit.tasks._rows import Row, published_rows, shuffled, text_key

DEV_ROWS = 300


def svamp(split: Split, *, path: Path | None = None) -> Iterator[Example]:
    """All 1,000 rows are test. Train and dev are questions of MultiArith and ASDiv whose answer is one number.

    path: a folder that holds svamp/test.jsonl.gz, multiarith/all.jsonl.gz and asdiv/all.jsonl.gz; None uses $WHIT_DATA
        or the hub.
    A question of train and dev that is in SVAMP, or in both sources, is used once, or not at all.
    """
    if split == "ood":
        return
    test = published_rows("svamp/test", path, "ChilleD/SVAMP", split="train+test")
    if split == "test":
        for row in test:
            yield _example(row, f"svamp-{row.get('id', row.get('ID'))}")
        return
    unused = {text_key(_question(row)) for row in test}
    examples = {}
    for row in (
        *published_rows("multiarith/all", path, "ChilleD/MultiArith", split="train+test"),
        *published_rows("asdiv/all", path, "EleutherAI/asdiv", split="validation"),
    ):
        key = text_key(_question(row))
        if key not in unused and parse_number(_answer(row)) is not None:
            unused.add(key)
            examples[key] = _example(row, f"svamp-{key}")
    dev = set(shuffled(list(examples), "svamp dev")[:DEV_ROWS])
    yield from (example for key, example in examples.items() if (key in dev) == (split == "dev"))


def _example(row: Row, identity: str) -> Example:
    gold = parse_number(_answer(row))
    assert gold is not None, row
    return Example(id=identity, prompt=_question(row), gold=show_number(gold), answer_format="boxed")


def _question(row: Row) -> str:
    """The whole question; the hub's copies keep the story ("Body" or "body") apart from what is asked."""
    if "Body" in row:
        return f"{row['Body']} {row['Question']}".strip()
    if "body" in row and "question_only" not in row:
        return f"{row['body']} {row['question']}".strip()
    return str(row["question"]).strip()


def _answer(row: Row) -> str:
    """The answer as written: '51.0', '8', or '9 (apples)' in ASDiv."""
    return next(str(row[name]) for name in ("answer", "Answer", "final_ans") if name in row)
