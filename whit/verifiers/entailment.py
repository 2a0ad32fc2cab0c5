"""What follows from premises, proved by z3 (the extra `logic`) and not looked up: logical entailment and satisfiability."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from whit.core.types import Example, Verdict
from whit.verifiers._extract import judge, marked, spans
from whit.verifiers._logic import FormulaError, Reader, prove, solver_library
from whit.verifiers._normalise import normalised

MAX_SECONDS = 30.0  # in a worker process; z3 stops itself before, after a count of steps

LABELS = {"true": "true", "false": "false", "unknown": "unknown", "uncertain": "unknown"}
SATISFIABLE = {"satisfiable": "satisfiable", "unsatisfiable": "unsatisfiable"}
WORD = re.compile(r"\w+")


def entailment(completion: str, example: Example) -> Verdict:
    r"""The final answer is what z3 proves from the formulas in `example.metadata["premises"]`.

    With a formula in metadata["conclusion"], the answer says whether it follows: True, False (its negation follows) or
    Unknown. With the gold answer satisfiable or unsatisfiable, the answer says which the premises are. Otherwise the gold
    answer is a formula, and an answer is right that is equivalent to it, given the premises.
    The syntax of formulas is that of `whit/verifiers/_logic.py`.
    Strict: the marker that the prompt asked for holds the answer; for "plain" the whole text does.
    Lenient: that; else another marker, or the first word, for formulas the line, after 'the answer is'.
    Where z3 gives up, the status is "undecided" with its reason. Premises that contradict each other, or that are no
    formulas, a gold label that is not proved, and a gold formula that the premises prove or refute, to which any formula
    they prove or refute would be equivalent, have the status "bad_gold".
    Raises UsageError when z3 is not installed.

    metadata: {"premises": ["forall(x, implies(Cat(x), Animal(x)))", "Cat(tom)"], "conclusion": "Animal(tom)"}
    strict: True | Tom is a cat.\n#### True
    strict boxed: True | \boxed{true}
    accepts: True | The answer is True, as he is a cat.
    accepts: True | \boxed{True}
    refuses: True | #### False
    refuses: True | #### Unknown
    refuses: True | #### Animal(tom)
    refuses: True |
    """
    reader, says_conclusion = Reader(), "conclusion" in example.metadata
    try:
        premises = [reader.formula(text) for text in example.metadata.get("premises", ())]
        is_consistent = not _proved(premises, reader.formula("False"))
        if not says_conclusion and normalised(example.gold) in SATISFIABLE:
            return _judge_label(completion, example, SATISFIABLE, "satisfiable" if is_consistent else "unsatisfiable")
        if not is_consistent:
            raise FormulaError("the premises contradict each other, so that everything follows")
        if says_conclusion:
            fact = _follows(premises, reader.formula(example.metadata["conclusion"]))
            return _judge_label(completion, example, LABELS, fact)
        gold = reader.formula(example.gold)
        if any(prove(premises, formula)[0] == "proved" for formula in (gold, solver_library().Not(gold))):
            raise FormulaError("the premises alone decide the gold answer, so that True or False would be as good")
    except FormulaError as error:
        return Verdict(correct=False, status="bad_gold", reason=f"the example's formulas: {error}")
    except _UndecidedError as error:
        return Verdict(correct=False, status="undecided", reason=str(error))
    return _judge_formula(completion, example, reader, premises, gold)


class _UndecidedError(Exception):
    """z3 gave up."""


def _proved(premises: Sequence[Any], goal: Any) -> bool:
    proof, reason = prove(premises, goal)
    if proof == "undecided":
        raise _UndecidedError(reason)
    return proof == "proved"


def _follows(premises: Sequence[Any], conclusion: Any) -> str:
    if _proved(premises, conclusion):
        return "true"
    return "false" if _proved(premises, solver_library().Not(conclusion)) else "unknown"


def _judge_label(completion: str, example: Example, labels: Mapping[str, str], fact: str) -> Verdict:
    if labels.get(normalised(example.gold)) != fact:
        reason = f"the gold answer is {example.gold!r}, but z3 proves {fact!r}"
        return Verdict(correct=False, status="bad_gold", reason=reason)
    in_form = labels.get(normalised(marked(completion, example.answer_format) or ""))
    said = (WORD.search(span) for span in spans(completion, example.answer_format))
    first = next((labels[word[0].lower()] for word in said if word and word[0].lower() in labels), None)
    return judge(fact, in_form, first, f"label out of {', '.join(dict.fromkeys(labels.values()))}")


def _judge_formula(completion: str, example: Example, reader: Reader, premises: Sequence[Any], gold: Any) -> Verdict:
    in_form = marked(completion, example.answer_format)
    lines = (span.strip().partition("\n")[0] for span in spans(completion, example.answer_format))
    answer = in_form if in_form is not None else next(filter(None, lines), None)
    if answer is None:
        return Verdict(correct=False, status="no_answer", reason="no formula found")
    has_form = in_form is not None
    try:
        correct = _proved(premises, reader.formula(answer) == gold)
    except FormulaError as error:
        return Verdict(correct=False, has_format=has_form, answer=answer, status="no_answer", reason=str(error))
    except _UndecidedError as error:
        return Verdict(correct=False, has_format=has_form, answer=answer, status="undecided", reason=str(error))
    return Verdict(correct=correct, strict=correct and has_form, has_format=has_form, answer=answer)
