"""Whether rewards mean what they should."""

from collections.abc import Sequence

from whit.core.answers import completion_text
from whit.core.types import Example
from whit.preflight._types import Finding
from whit.verifiers._judge import judge, judges_gold


def verifiers(examples: Sequence[Example]) -> Finding:
    """The verifier takes every gold completion, with its rationale and without, and refuses an empty one.

    A reward function of the user's own may score anything: it must not raise, and should tell gold from nothing.
    """
    refused, empty, raised, blind = [], [], dict[str, str](), []
    num_raised = 0
    for example in examples:
        texts = {completion_text(example), completion_text(example, with_rationale=False)}
        verdicts, nothing = [judge(text, example) for text in texts], judge("", example)
        crashes = [verdict.reason for verdict in (*verdicts, nothing) if verdict.status == "crash"]
        if crashes:
            num_raised += 1
            raised.setdefault(crashes[0], example.id)
        elif ":" in example.verifier:
            if all(verdict.reward == nothing.reward for verdict in verdicts):
                blind.append(example.id)
        elif judges_gold(example) and not all(verdict.correct for verdict in verdicts):
            refused.append(f"{example.id}: {example.gold!r}")
        elif nothing.correct:
            empty.append(example.id)
    if raised:
        # A reason is shown once, with the first example that has it: a fault of the code has one for all of them.
        shown = "; ".join(f"{example}: {reason}" for reason, example in list(raised.items())[:3])
        message = f"the verifier raises for {num_raised:,} of {len(examples):,} examples ({shown})"
        remedy = (
            "Mend it: a completion at which it raises counts as wrong, or is left out where it raises for gold too."
        )
        return Finding("failed", message, remedy)
    for status, what, found, remedy in (
        ("failed", "the verifier refuses gold", refused, "Mend these answers, or choose another verifier."),
        (
            "failed",
            "the verifier takes an empty completion",
            empty,
            "Choose another verifier: the model would learn silence.",
        ),
        ("warning", "the reward of gold is that of nothing", blind, "Is this what the reward is meant to be?"),
    ):
        if found:
            shown = "; ".join(found[:3])
            message = f"{what} for {len(found):,} of {len(examples):,} examples ({shown})"
            return Finding("failed" if status == "failed" else "warning", message, remedy)
    return Finding("ok", f"gold is taken and nothing refused, on {len(examples):,} examples")
