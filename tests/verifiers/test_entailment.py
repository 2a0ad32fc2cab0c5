"""Entailment: labels are proved, formulas are compared by meaning, and what z3 cannot say is a status."""

import pytest

from whit.core.types import Example
from whit.verifiers import entailment as module
from whit.verifiers._logic import FormulaError, Reader, prove
from whit.verifiers.entailment import entailment

pytest.importorskip("z3")

WET = ["implies(rain, wet)", "implies(sprinkler, wet)", "rain or sprinkler"]


def verdict(premises, gold, answer, **more):
    return entailment(f"#### {answer}", Example("1", "?", gold, metadata={"premises": premises, **more}))


@pytest.mark.parametrize(
    ("conclusion", "label"), [("wet", "True"), ("not wet", "False"), ("rain", "Unknown"), ("rain or not rain", "True")]
)
def test_what_follows_is_proved(conclusion, label):
    for said in ("True", "False", "Unknown"):
        assert verdict(WET, label, said, conclusion=conclusion).correct == (said == label)


def test_a_gold_label_that_is_not_what_z3_proves_is_a_status():
    found = verdict(WET, "Unknown", "Unknown", conclusion="wet")
    assert (found.status, found.reason) == ("bad_gold", "the gold answer is 'Unknown', but z3 proves 'true'")


@pytest.mark.parametrize(
    ("premises", "label"),
    [(["x > 3", "x < 5"], "satisfiable"), (["x > 3", "x < 4"], "unsatisfiable"), (["p", "not p"], "unsatisfiable")],
)
def test_satisfiability_of_the_premises(premises, label):
    other = {"satisfiable": "unsatisfiable", "unsatisfiable": "satisfiable"}[label]
    assert verdict(premises, label, label).strict and not verdict(premises, label, other).correct


@pytest.mark.parametrize(
    ("gold", "answer", "same"),
    [
        ("not (p and q)", "not p or not q", True),
        ("implies(p, q)", "implies(q, p)", False),
        ("forall(x, implies(A(x), B(x)))", "not exists(y, A(y) and not B(y))", True),
        ("exists(x, A(x))", "forall(x, A(x))", False),
        ("2 * n > 6", "n >= 4", True),
        ("n // 2 == 1", "n == 2 or n == 3", True),
        ("(0 - 7) % 3 == m", "m == 2", True),
        ("n % 2 == 0", "not n % 2 == 1", True),
    ],
)
def test_formulas_are_equal_when_each_follows_from_the_other(gold, answer, same):
    assert verdict([], gold, answer).correct == same


def test_formulas_are_compared_given_the_premises():
    assert verdict(["iff(p, q)"], "p", "q").strict
    assert not verdict([], "p", "q").correct


@pytest.mark.parametrize(
    ("premises", "gold"),
    [(["p"], "p"), (["p"], "not p"), ([], "p or not p"), ([], "False"),
     (["forall(x, implies(Cat(x), Animal(x)))", "Cat(tom)"], "Animal(tom)")],
)  # fmt: skip
@pytest.mark.parametrize("answer", ["True", "False", "q or not q", "p"])
def test_a_gold_formula_that_the_premises_decide_is_a_status(premises, gold, answer):
    found = verdict(premises, gold, answer)
    assert (found.correct, found.status) == (False, "bad_gold") and "the premises alone decide" in found.reason


def test_contradicting_premises_prove_nothing():
    assert verdict(["p", "not p"], "q", "q").status == "bad_gold"
    assert verdict(["p", "not p"], "True", "True", conclusion="q").status == "bad_gold"


@pytest.mark.parametrize(
    "text",
    ["", "1", "p +", "x.y", "f(1)", "__import__('os')", "p and (p > 1)", "x / 2 > 1", "x // y > 1", "x % 0 == 1", "x < 'a'",
     "lambda: p", "forall(p)", "implies(p)", "x in y", "[p]", "f(x=1)", "(" * 500 + "p" + ")" * 500, "not " * 5000 + "p"],
)  # fmt: skip
def test_what_is_no_formula_is_refused_and_never_run(text):
    with pytest.raises(FormulaError):
        Reader().formula(text)
    assert verdict([], "p", text).status == "no_answer"


def test_what_z3_cannot_say_is_undecided_with_its_reason(monkeypatch):
    monkeypatch.setattr(module, "prove", lambda premises, goal: ("undecided", "z3: max. resource limit exceeded"))
    found = verdict(["p"], "True", "True", conclusion="p")
    assert (found.status, found.correct, found.reason) == ("undecided", False, "z3: max. resource limit exceeded")


@pytest.mark.slow  # 2 to 10 s
def test_a_problem_that_is_too_hard_ends_undecided():
    reader = Reader()
    cubes = reader.formula("x * x * x + y * y * y + z * z * z == 114 and x > 1000 and y < 0 - 1000")
    proof, reason = prove([cubes], reader.formula("False"))
    assert proof == "undecided" and reason.startswith("z3 gave up within 20,000,000 steps")
