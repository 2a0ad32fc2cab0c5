"""Equations in place of words: the computation alone, one step a line, then the answer.

After "equation-of-thought" distillation, arXiv:2401.11864: no method card; from the abstract, as remembered. The paper's
equations may have unknowns, which a program solves; these are arithmetic, and the model itself writes each result.
"""

from collections.abc import Sequence

from whit.core.answers import NOTE, completion_text, parse_number
from whit.core.types import Example
from whit.data.forms._steps import Equation, is_near, noted, written


def equations(example: Example) -> str | None:
    """The equations of the worked solution up to the answer, one a line, then the answer.

    They are read from calculator notes, '<<48/2=24>>', that stand in the rationale or in the metadata as "notes", or from
    the text of the rationale, '48 / 2 = 24': from whichever tells more steps. None when neither leads to the gold answer.
    """
    text = example.rationale or ""
    notes = text if NOTE.search(text) else "".join(f"<<{note}>>" for note in example.metadata.get("notes", ()))
    chain = max((_to_answer(found, example.gold) for found in (noted(notes), written(text))), key=len)
    if not chain:
        return None
    return "\n".join([*map(str, chain), completion_text(example, with_rationale=False)])


def _to_answer(found: Sequence[Equation], gold: str) -> Sequence[Equation]:
    """The equations up to the last one that gives the gold answer: what follows is a check. All where gold is no number."""
    answer = parse_number(gold)
    if answer is None:
        return found
    last = max((n for n, equation in enumerate(found, 1) if is_near(answer, equation.right)), default=0)
    return found[:last]
