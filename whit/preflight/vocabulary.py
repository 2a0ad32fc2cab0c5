"""Whether a teacher's probabilities are about the same tokens as the student's."""

from collections.abc import Mapping

from whit.data.render import Renderer
from whit.preflight._types import Finding


def vocabulary(renderer: Renderer, teacher_vocab: Mapping[str, int]) -> Finding:
    """Every token of the student is the same string under the same id in the teacher; the sizes may differ."""
    ours = renderer.tokenizer.get_vocab()
    moved = [token for token, index in ours.items() if teacher_vocab.get(token) != index]
    counts = f"{len(ours):,} tokens of the student, {len(teacher_vocab):,} of the teacher"
    if moved:
        return Finding(
            "failed", f"{counts}; {len(moved):,} are another token or none in the teacher ({moved[0]!r}, ...)",
            "Use the recipe uld or byte-merge, which compare them all the same, or distil through text: give a file of the "
            "teacher's texts (columns prompt and completion) as teacher.",
        )  # fmt: skip
    return Finding("ok", counts)
