"""Completions to verdicts: the verifier that each example names, with every failure counted."""

from whit.core.answers import completion_text
from whit.core.errors import DataError
from whit.core.parts import declared
from whit.core.types import Example, Verdict
from whit.verifiers._named import judge_here, max_seconds
from whit.verifiers._workers import judge_later

SHOWN_CHARS = 120  # of a gold completion, in an error


def judge(text: str, example: Example) -> Verdict:
    """The verdict on one completion: "crash" of a verifier that raises, "timeout" of one that takes too long.

    Raises SandboxError where code is to be judged and this machine cannot isolate it: that is no fact about a completion.
    It is given here; that of a verifier which declares MAX_SECONDS, by a worker process.
    """
    if max_seconds(example.verifier) is None:
        return judge_here(text, example)
    return judge_later(text, example).result()


def judges_gold(example: Example) -> bool:
    """Whether the example's gold answer, in its answer format, is one that its verifier takes.

    A reward function of the user's own may score anything, and `format` looks at what stands around the answer.
    """
    return ":" not in example.verifier and declared("verifier", example.verifier, "JUDGES_GOLD") is not False


def check_gold(examples: list[Example]) -> None:
    """Raises DataError when a verifier refuses the gold answer of its own example, or takes an empty completion."""
    checked = [example for example in examples if ":" not in example.verifier]  # a reward function may score anything
    golds = [judge_later(completion_text(example, with_rationale=False), example) for example in checked]
    nothings = [judge_later("", example) for example in checked]
    for example, gold, nothing in zip(checked, golds, nothings, strict=True):
        if not gold.result().correct and (judges_gold(example) or gold.result().status == "bad_gold"):
            raise DataError(
                f"example '{example.id}': the verifier '{example.verifier}' refuses its own gold answer "
                f"{_shown(example.gold)} ({gold.result().reason or gold.result().status}). "
                f"The gold completion is {_shown(completion_text(example, with_rationale=False))}: mend the answer, or "
                f"choose another verifier or answer_format (now '{example.answer_format}')."
            )
        if nothing.result().correct:
            raise DataError(f"example '{example.id}': the verifier '{example.verifier}' accepts an empty completion.")


def _shown(text: str) -> str:
    return repr(text if len(text) <= SHOWN_CHARS else f"{text[:SHOWN_CHARS]}...")
