"""Whether rewards mean what they should."""

from collections.abc import Sequence

from whit.core.answers import completion_text
from whit.core.types import Example
from whit.preflight._types import Finding
from whit.verifiers._judge import judge


def verifiers(examples: Sequence[Example]) -> Finding:
    """The verifier takes every gold completion, with its rationale and without, and refuses an empty one.

    A reward function of the user's own may score anything: it must not raise, and must tell gold from nothing.
    """
    refused, empty, raised = [], [], []
    for example in examples:
        texts = {completion_text(example), completion_text(example, with_rationale=False)}
        verdicts = [judge(text, example) for text in texts]
        nothing = judge("", example)
        if any(v.status == "crash" for v in (*verdicts, nothing)):
            raised.append(f"{example.id}: {next(v.reason for v in (*verdicts, nothing) if v.status == 'crash')}")
        elif not all(v.correct for v in verdicts):
            refused.append(f"{example.id}: {example.gold!r}")
        elif nothing.correct:
            empty.append(example.id)
    for what, found, remedy in (
        ("the verifier raises", raised, "Mend it: what it raises would count as wrong."),
        ("the verifier refuses gold", refused, "Mend these answers, or choose another verifier."),
        ("the verifier takes an empty completion", empty, "Choose another verifier: the model would learn silence."),
    ):
        if found:
            shown = "; ".join(found[:3])
            return Finding("failed", f"{what} for {len(found):,} of {len(examples):,} examples ({shown})", remedy)
    return Finding("ok", f"gold is taken and nothing refused, on {len(examples):,} examples")
