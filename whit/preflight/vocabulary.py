"""Whether a teacher's probabilities are about the same tokens as the student's."""

from whit.models.load import Policy
from whit.preflight._types import Finding


def vocabulary(policy: Policy, teacher: Policy) -> Finding:
    """Every token of the student is the same string under the same id in the teacher."""
    ours, theirs = policy.tokenizer.get_vocab(), teacher.tokenizer.get_vocab()
    moved = [token for token, index in ours.items() if theirs.get(token) != index]
    rows = policy.decoder.config.shape.vocab_size, teacher.decoder.config.shape.vocab_size
    counts = f"{len(ours):,} tokens of the student, {len(theirs):,} of the teacher; {rows[0]:,} and {rows[1]:,} logits"
    if moved:
        return Finding(
            "failed", f"{counts}; {len(moved):,} are another token or none in the teacher ({moved[0]!r}, ...)",
            "Distil through text: kd with text = \"teacher\" and cross-entropy alone, or a file of the teacher's texts.",
        )  # fmt: skip
    return Finding("ok", counts)
