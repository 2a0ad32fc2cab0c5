r"""The final answer equals the gold text after light normalisation: names, words, short phrases."""

from collections.abc import Iterator

from whit.core.types import AnswerFormat, Example, Verdict
from whit.verifiers._extract import judge, marked, spans
from whit.verifiers._normalise import normalised


def exact_text(completion: str, example: Example) -> Verdict:
    r"""The final answer equals the gold text; case, spacing and outer punctuation do not count, articles do.

    Strict: what stands in the marker that the prompt asked for; for "plain" the whole text.
    Lenient: that; else another marker, the rest of the line after 'the answer is', or the last line.

    strict: Paris | The capital is Paris.\n#### paris.
    strict: New York | ####  New  York
    strict: C++ | #### c++
    strict: 5² | #### 5²
    strict: 52 | #### ５２
    strict boxed: Paris | so \boxed{Paris}
    strict tags: Paris | <answer>"Paris"</answer>
    strict plain: Paris | Paris.
    accepts: Paris | The answer is Paris.
    accepts: Paris | **Answer:** Paris\nI am sure.
    accepts: Paris | It is the largest city of France.\nParis
    refuses: Paris | The Paris
    refuses: The Hague | #### Hague
    refuses: C | #### C++
    refuses: -5 | #### 5
    refuses: 52 | #### 5²
    refuses: 52 | #### 5₂
    refuses: 4 | #### ④
    refuses: 11⁄2 | #### 1½
    refuses: Paris | The answer is Rome, not Paris.
    refuses: Paris |
    """
    in_form = normalised(marked(completion, example.answer_format) or "") or None
    anywhere = next(_anywhere(completion, example.answer_format), None)
    return judge(normalised(example.gold) or None, in_form, anywhere, "text")


def _anywhere(text: str, answer_format: AnswerFormat) -> Iterator[str]:
    for span in spans(text, answer_format):
        yield from filter(None, [normalised(span.strip().partition("\n")[0])])
    yield from filter(None, map(normalised, reversed(text.splitlines())))
