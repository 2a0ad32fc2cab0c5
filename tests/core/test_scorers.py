"""Which scorers may run the text that they are given, in a small library that hides it in several ways."""

import importlib

import pytest

from whit.core import scorers

HELPERS = """
import sympy as sp

READERS = {"a": sp.sympify}
FIRST: object = eval

def plain(text): return text.strip()
def deep(text): return deeper(text)
def deeper(text): return eval(text)
"""
SCORERS = """
import json, re
from . import helpers
from .helpers import READERS, plain

class Reads:
    def score_answer(self, answer, entry): return float(self.read(answer) == json.loads(entry["answer"]))
    def read(self, answer): return re.compile("[0-9]+").search(plain(answer))

class Inherits(Reads):
    def make(self): return eval("1 + 1")

class Table(Reads):
    def score_answer(self, answer, entry): return READERS["a"](answer)

class Deep(Reads):
    def score_answer(self, answer, entry): return helpers.deep(answer)

class Attribute(Reads):
    def __init__(self): self.reader = eval
    def score_answer(self, answer, entry): return self.reader(answer)

class Constant(Reads):
    def score_answer(self, answer, entry): return helpers.FIRST(answer)

class Loads(Reads):
    def score_answer(self, answer, entry): return self.board(answer)
    def board(self, answer):
        import numpy as np
        return np.load(answer)

class Asks(Reads):
    def score_answer(self, answer, entry): return getattr(self, answer)()
"""


@pytest.fixture
def library(tmp_path, monkeypatch):
    pytest.importorskip("sympy")
    package = tmp_path / "made_up_gym"
    package.mkdir()
    for name, text in {"__init__": "", "helpers": HELPERS, "sets": SCORERS}.items():
        (package / f"{name}.py").write_text(text)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(scorers, "PACKAGE", "made_up_gym")
    scorers._library.cache_clear()
    yield importlib.import_module("made_up_gym.sets")
    scorers._library.cache_clear()


def test_a_scorer_that_reads_only_is_harmless_whatever_its_generator_does(library):
    assert [scorers.runs_text(kind) for kind in (library.Reads, library.Inherits)] == ["", ""]


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("Table", "sympy.sympify"), ("Deep", "eval"), ("Attribute", "eval"), ("Constant", "eval"), ("Loads", "numpy.load"),
        ("Asks", "getattr"),
    ],
)  # fmt: skip
def test_what_a_scorer_may_reach_is_found_wherever_it_stands(library, name, found):
    assert scorers.runs_text(getattr(library, name)) == found
