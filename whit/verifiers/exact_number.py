r"""The final number equals the gold number, exactly: the verifier of arithmetic and word problems."""

from fractions import Fraction

from whit.core.answers import is_unfinished, last_number, leading_number, parse_number, show_number
from whit.core.types import AnswerFormat, Example, Verdict
from whit.verifiers._extract import judge, marked, spans


def exact_number(completion: str, example: Example) -> Verdict:
    r"""The final number equals the gold number.

    Strict: the marker that the prompt asked for holds the number, perhaps with a unit; for "plain" the whole text does.
    Lenient: that; else the number that starts another marker or follows 'the answer is'; else the last number.
    Where one of these leaves something to work out or to choose from, as '18 - 3' or '7 or 8', there is no number.
    Numbers are compared as exact fractions, so 0.5 is 1/2 and 0.33 is not 1/3. '50%' is 50, not 0.5.

    strict: 18 | She makes 9 * 2 = 18.\n#### 18
    strict: 18 | #### $18.00
    strict: 1,080 | #### 1080 miles.
    strict: 0.5 | #### 1/2
    strict: -3 | #### −3
    strict: 50 | #### 50%
    strict: 9 | #### 5 + 4 = 9
    strict: 7 | #### 6\nNo, that is wrong.\n#### 7
    strict: 300000 | #### 3e5
    strict: 300000 | #### $3 \times 10^5$
    strict: 300000 | #### 3 × 10⁵
    strict: 0.003 | #### 3e-3
    strict: 18000 | #### 18 thousand
    strict: 1000 | #### 1 000
    strict: 60 | #### 60 cm²
    strict: -3 | #### - 3
    strict: -3 | #### minus 3
    strict: -3 | #### negative $3
    strict: -3 | #### ﹣3
    strict: -3 | #### ‒3
    strict: 18 | #### 3 \times 6 = 18
    strict: 5 | #### 5 dozen
    strict: 18 | #### 18 (apples)
    strict: 18 | #### x = 18
    strict boxed: 0.5 | so \boxed{\frac{1}{2}} of it
    strict tags: 7 | 3 + 4 <answer> 7 apples </answer>
    strict plain: 7 | 7
    accepts: 18 | The answer is 18. I checked 3 steps.
    accepts: 18 | **Answer:** $18 for all 9
    accepts: 18 | In total \boxed{18} of 20.
    accepts: 18 | 16 - 3 - 4 = 9, and 9 * 2 = 18
    accepts: 18 | #### 18 of the 20 eggs
    accepts: 18 | #### 18 (9 * 2)
    accepts: 18 | The answer is 18! I checked.
    accepts: 18 | The answer is 18 - she has no more than 3.
    accepts plain: 7 | 3 + 4 is 7
    refuses: 18 | #### 17
    refuses: 0.5 | #### 50%
    refuses: 7 | #### 7 or 8
    refuses: 8 | #### 7 or 8
    refuses: 7 | #### 7, 8
    refuses: 7 | #### 7 or eight
    refuses: 3 | #### 3e5
    refuses: 3 | #### 3e9999
    refuses: 3 | #### 3\times 10^5
    refuses: 3 | #### 3x5
    refuses: 3 | #### 3²
    refuses: 5 | #### 5^2
    refuses: 2 | #### 2\pi
    refuses: 18 | #### 18 thousand
    refuses: 18 | #### 18 thousandths
    refuses: 18 | #### 18k
    refuses: 18 | #### 18 and a half
    refuses: 3 | #### - 3
    refuses: 3 | #### minus 3
    refuses: 3 | #### negative 3
    refuses: 3 | #### ‒3
    refuses: 3 | #### ﹣3
    refuses: 3 | 5 - 8\n#### —3
    refuses: -3 | #### —3
    refuses: 3 | #### --3
    refuses: 3 | #### ±3
    refuses: 9 | #### \sqrt{9}
    refuses: 18 | #### 18 - 3
    refuses: 3 | #### 18 - 3
    refuses: 18 | #### 18!
    refuses: 2 | #### 2 + 3
    refuses: 3 | #### 3 eggs + 15 eggs
    refuses: 3 | #### 3(4)
    refuses: 3 | #### 3:4
    refuses: 18 | The answer is 18 - 3.
    refuses: 18 | The answer is 17. It is not 18.
    refuses: -3 | 10-3
    refuses: 18 |
    refuses: 18 | eighteen
    """
    gold = parse_number(example.gold)
    in_form = parse_number(marked(completion, example.answer_format) or "")
    anywhere = _anywhere(completion, example.answer_format) if in_form is None else None
    return judge(_shown(gold), _shown(in_form), _shown(anywhere), "number")


def _anywhere(text: str, answer_format: AnswerFormat) -> Fraction | None:
    for span in spans(text, answer_format):
        if is_unfinished(span):
            return None
        value = leading_number(span)
        if value is not None:
            return value
    return last_number(text)


def _shown(value: Fraction | None) -> str | None:
    return None if value is None else show_number(value)
