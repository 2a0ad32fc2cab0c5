"""A question and several passages, one of which answers it, at a chosen place.  Source: arXiv:2307.03172.

The passages around the answering one are drawn from those of other questions: the source's retrieved ones are harder.
"""

import os
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated

from pydantic import Field

from whit.core.errors import DataError
from whit.core.files import read_rows
from whit.core.seeds import stream
from whit.core.types import Example, Split
from whit.tasks._depths import check_depths, chosen_place, depth_of
from whit.tasks._rows import Row, numbered, shuffled, text_key

NAME = "lost_in_middle/nq_oracle.jsonl"
INSTRUCTION = "Answer with a few words that stand in the documents, and nothing else."
SHARES: dict[Split, tuple[float, float]] = {"test": (0.0, 0.4), "dev": (0.4, 0.5), "train": (0.5, 1.0)}
MAX_WORDS = 100  # of a passage: what the source's passages have
SHORT = 2  # letters of an answer that stand in nearly every text


def documents(
    split: Split,
    *,
    documents: Annotated[int, Field(ge=1)] = 10,
    depths: tuple[float, ...] = (),
    seed: int = 0,
    path: Path | None = None,
) -> Iterator[Example]:
    """The 2,655 questions of Natural Questions that the source uses: half train, a tenth dev, two fifths test.

    documents: passages a question. depths: where the answering one stands, from 0 to 1; anywhere where none is given. Every
        question is asked once, at a depth that the seed draws for it.
    path: a folder that holds lost_in_middle/nq_oracle.jsonl.gz (id, question, answers, gold_title, gold_text), or the
        published nq-open-oracle.jsonl.gz itself; None uses $WHIT_DATA. It is not on the hub.
    The metadata has the `depth` in tenths and all `answers`; any of them is right. Passages in which an answer stands are
    not put beside.
    """
    if split == "ood":
        return
    check_depths("documents", depths)
    rows = [_plain(row) for row in _rows(path)]
    keys = [text_key(row["question"]) for row in rows]
    order = shuffled(keys, "documents")
    low, high = (round(share * len(order)) for share in SHARES[split])
    chosen = set(order[low:high])
    own = [row for key, row in zip(keys, rows, strict=True) if key in chosen]
    for identity, key, row in zip(numbered(keys), keys, rows, strict=True):
        if key in chosen:
            yield _example(f"documents-{identity}", key, row, own, documents, depths, seed)


def _example(
    identity: str, key: str, row: Row, others: list[Row], count: int, depths: tuple[float, ...], seed: int
) -> Example:
    rng = stream(seed, "documents", identity)
    answer = _answer_in(row["answers"])
    passages: list[str] = []
    for other in rng.sample(others, len(others)):
        if len(passages) == count - 1:
            break
        text = _passage(other)
        if text not in passages and not answer.search(text):
            passages.append(text)
    if len(passages) < count - 1:
        raise DataError(
            f"documents: only {len(passages)} of the {len(others)} passages of this split have no answer to "
            f"'{row['question']}', and {count - 1} are needed. Ask for fewer documents, or give more rows."
        )
    place = chosen_place(rng, count, depths)
    passages.insert(place, _passage(row, answer))
    listed = "\n\n".join(f"Document {number}: {text}" for number, text in enumerate(passages, 1))
    return Example(
        id=identity, prompt=f"{listed}\n\nQuestion: {row['question']}", gold=row["answers"][0], verifier="one_of",
        group=f"documents-{key}", answer_format="plain", instruction=INSTRUCTION,
        metadata={"answers": list(row["answers"]), "documents": count, "depth": depth_of(place, count)},
    )  # fmt: skip


def _answer_in(answers: Sequence[str]) -> re.Pattern[str]:
    """Any of the answers as whole words; one of a letter or two in its own case."""
    each = (rf"(?i:{re.escape(a)})" if len(a) > SHORT else re.escape(a) for a in answers)
    return re.compile(rf"(?<!\w)(?:{'|'.join(each)})(?!\w)")


def _passage(row: Row, answer: re.Pattern[str] | None = None) -> str:
    """Title and text, of which MAX_WORDS are shown: the first, or those around the answer where it comes later."""
    text = str(row["text"])
    found = answer.search(text) if answer else None
    before = len(text[: found.start()].split()) if found else 0
    length = len(found[0].split()) if found else 0
    start = 0 if before + length <= MAX_WORDS else before - MAX_WORDS // 2
    return f"({row['title']}) {' '.join(text.split()[start : start + MAX_WORDS])}"


def _plain(row: Row) -> Row:
    """The columns that are used, of a row as it is published or of ours."""
    gold = next((c for c in row["ctxs"] if c.get("isgold", True)), {}) if "ctxs" in row else row
    title, text = gold.get("title", gold.get("gold_title")), gold.get("text", gold.get("gold_text"))
    return {"question": row["question"], "answers": row["answers"], "title": title, "text": text}


def _rows(path: Path | None) -> list[Row]:
    if path and path.is_file():
        return read_rows(path)
    folder = path or os.environ.get("WHIT_DATA")
    for suffix in (".gz", ""):
        if folder and (file := Path(folder, NAME + suffix)).is_file():
            return read_rows(file)
    raise DataError(
        f"the rows of documents are not on this machine: there is no {NAME}.gz in {folder or 'a folder that is named'}. "
        "Set the task's path to the file qa_data/nq-open-oracle.jsonl.gz of github.com/nelson-liu/lost-in-the-middle, or "
        f"$WHIT_DATA to a folder with {NAME}.gz."
    )
