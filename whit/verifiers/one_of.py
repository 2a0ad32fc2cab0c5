r"""The final answer is one of several that are right: questions whose answer has many names."""

from whit.core.types import Example, Verdict
from whit.verifiers._extract import marked
from whit.verifiers._normalise import normalised

NEGATIONS = ("not", "t", "nor", "neither")  # 't' of n't
MAX_FACTOR, MORE = 3, 10  # words that an answer may have around a right one: so many times as many, and so many more


def one_of(completion: str, example: Example) -> Verdict:
    r"""One of the answers in the metadata's `answers`, or else the gold text; case and outer punctuation do not count.

    Strict: what stands in the form that the prompt asked for is one of them.
    Lenient: that, or one of them stands in it as whole words, with few words around it. The source of multi-document
    questions counts an answer that stands anywhere in a text of 100 tokens, which pays for listing everything.

    strict plain: Paris | Paris.
    strict: Paris | So it is\n#### paris
    accepts plain: Paris | It is the city of Paris.
    accepts plain: May 18, 2018 | On May 18, 2018
    refuses plain: Paris | Parisian
    refuses plain: 18 | 180
    refuses plain: Paris | Rome
    refuses plain: Paris | It is not Paris
    refuses plain: Paris |
    refuses plain: Paris | Rome, Oslo, Bern, Kiev, Bonn, Nice, Graz, Linz, Cork, Bari, Lyon, Metz, Gent, Ulm, Pisa, Paris
    """
    names = [normalised(str(name)) for name in example.metadata.get("answers") or (example.gold,)]
    names = [name for name in names if name]
    if not names:
        return Verdict(correct=False, status="bad_gold", reason="no answer is given to compare with")
    said = marked(completion, example.answer_format)
    answer = normalised(said if said is not None else _last_line(completion)) or None
    if answer is None:
        return Verdict(correct=False, status="no_answer", reason="nothing was answered")
    strict = said is not None and answer in names
    correct = answer in names or any(_holds(answer, name) for name in names)
    return Verdict(correct, strict=strict, has_format=said is not None, answer=answer)


def _holds(answer: str, name: str) -> bool:
    """Whether a name stands in an answer as whole words, and not among many."""
    own, words = _words(name), _words(answer)
    if not own or len(words) > MAX_FACTOR * len(own) + MORE:
        return False
    places = (start for start in range(len(words) - len(own) + 1) if words[start : start + len(own)] == own)
    return any(not start or words[start - 1] not in NEGATIONS for start in places)


def _words(text: str) -> list[str]:
    return "".join(c if c.isalnum() else " " for c in text).split()


def _last_line(text: str) -> str:
    return next((line for line in reversed(text.splitlines()) if line.strip()), "")
