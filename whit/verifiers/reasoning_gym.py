"""An answer to a question of Reasoning Gym, scored by the generator that made it.  Source: arXiv:2505.24760."""

import json
import math
from collections.abc import Callable
from functools import lru_cache
from typing import Any

from whit.core.errors import UsageError
from whit.core.scorers import CORRECT_AT, require_reader
from whit.core.types import Example, Verdict
from whit.verifiers._extract import marked, spans

MAX_SECONDS = 30.0  # in a worker process: some generators search or simplify when they score
MAX_CHARS = 20_000  # of an answer: longer ones are wrong and not scored


def reasoning_gym(completion: str, example: Example) -> Verdict:
    r"""What the generator's own `score_answer` gives: 1 is right, and less is a reward for coming near.

    The question is made again from `example.metadata`: "dataset", the generator's name; "settings", what it is made with;
    "index", which of its questions. The task `reasoning_gym` writes these.
    Strict: the marker that the prompt asked for holds the answer; for "plain" the whole text does. Where the scorer also
    takes the gold answer with other words around it, as that of "gsm_symbolic" does, nothing else may stand there.
    Lenient: what the scorer takes, in that marker; else in another one, or in the rest of the line after 'the answer is'.
    An answer at which the scorer raises is wrong. An example that no generator made has the status "bad_gold".
    Raises UsageError when reasoning-gym is not installed, or the scorer may run what it scores (`whit.core.scorers`).

    metadata: {"dataset": "chain_sum", "settings": {"seed": 1, "size": 10}, "index": 0}
    strict: -4 | #### -4
    strict boxed: -4 | \boxed{-4}
    accepts: -4 | The answer is -4
    refuses: -4 | #### 4
    refuses: -4 | -4
    refuses: -4 |
    """
    try:
        score = _score(**{**example.metadata, "settings": json.dumps(example.metadata["settings"], sort_keys=True)})
    except UsageError:
        raise
    except Exception as error:  # the library raises whatever its generators raise
        return Verdict(
            correct=False, status="bad_gold", reason=f"no question of Reasoning Gym: {error!r}"[:300], reward=0.0
        )
    in_form = marked(completion, example.answer_format)
    lines = (span.strip().partition("\n")[0] for span in spans(completion, example.answer_format))
    answer = in_form if in_form is not None else next(filter(None, lines), None)
    if answer is None:
        return Verdict(correct=False, status="no_answer", reason="no answer found", reward=0.0)
    has_form = in_form is not None
    try:
        reward = _points(score, answer)
    except Exception as error:
        reason = f"the scorer takes no such answer: {error!r}"[:300]
        return Verdict(correct=False, has_format=has_form, answer=answer, reason=reason, reward=0.0)
    correct = reward >= CORRECT_AT
    strict = correct and has_form and (answer == example.gold or not _takes_more(score, example.gold))
    return Verdict(correct=correct, strict=strict, has_format=has_form, answer=answer, reward=reward)


def _points(score: Callable[[str], float], answer: str) -> float:
    """Between 0 and 1. Raises whatever the scorer raises."""
    points = float(score(answer)) if len(answer) <= MAX_CHARS else 0.0
    return min(1.0, max(0.0, points)) if math.isfinite(points) else 0.0


def _takes_more(score: Callable[[str], float], gold: str) -> bool:
    """Whether the scorer reads the gold answer out of a text that says more, or the opposite."""
    try:
        return any(_points(score, text) >= CORRECT_AT for text in (f"not {gold}", f"{gold} or 12345"))
    except Exception:  # of a scorer that reads no such text
        return False


@lru_cache(maxsize=4096)
def _score(dataset: str, settings: str, index: int) -> Callable[[str], float]:
    made = _dataset(dataset, settings)
    entry = made[index]
    return lambda answer: made.score_answer(answer, entry)  # type: ignore[no-any-return]


@lru_cache(maxsize=64)
def _dataset(name: str, settings: str) -> Any:
    try:
        import reasoning_gym as library
    except ImportError:
        raise UsageError("the verifier 'reasoning_gym' needs reasoning-gym: pip install 'whit[gym]'.") from None
    require_reader(name, library.factory.DATASETS[name][0])
    return library.create_dataset(name, **json.loads(settings))
