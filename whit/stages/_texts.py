"""Files of texts that a teacher wrote, as `whit write` makes them: which of them can be learned from, and why not."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple

from whit.core.errors import DataError
from whit.core.files import read_rows
from whit.core.types import Example
from whit.verifiers._judge import judge

Keep = Literal["all", "correct"]


class Text(NamedTuple):
    """What a teacher wrote for an example, and the row of the file that holds it."""

    example: Example
    completion: str
    row: Mapping[str, Any]


def read_texts(path: Path, examples: Sequence[Example], keep: Keep) -> tuple[list[Text], dict[str, float]]:
    """The texts for prompts of these examples, and how many are left out, and why.

    Rows need the columns prompt and completion. Those whose column `finish` says "length" were cut off.
    keep: "correct" leaves out what the example's verifier refuses.
    "flops" of the counts is what writing all of them took, where the rows say so.
    Raises DataError when nothing is left.
    """
    asked = {example.prompt.strip(): example for example in examples}
    found = []
    flops = 0.0
    counts = {"kept": 0, "empty": 0, "cut_off": 0, "refused": 0, "other_prompts": 0}
    for number, row in enumerate(read_rows(path), 1):
        if not row.get("prompt") or row.get("completion") is None:
            raise DataError(f"{path}, row {number}: a teacher's text needs the columns prompt and completion.")
        example, text = asked.get(str(row["prompt"]).strip()), str(row["completion"])
        if example is None:
            fate = "other_prompts"
        elif not text.strip():
            fate = "empty"
        elif row.get("finish") == "length":
            fate = "cut_off"
        elif keep == "correct" and not judge(text, example).correct:
            fate = "refused"
        else:
            fate = "kept"
            found.append(Text(example, text, row))
        counts[fate] += 1
        flops += float(row.get("flops") or 0.0)
    if not found:
        raise DataError(
            f"{path}: none of its {sum(counts.values())} texts can be learned from: {counts['other_prompts']} answer no "
            f"prompt of the task's training split, {counts['empty']} are empty, {counts['cut_off']} were cut off, the "
            f"verifier refused {counts['refused']}."
        )
    return found, {**counts, "flops": flops}
