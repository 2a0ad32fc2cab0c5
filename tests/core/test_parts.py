"""Parts are found by file name; what is not found is answered with the closest name."""

import re

import pytest

from whit.core.errors import PartError, RecipeError
from whit.core.parts import PACKAGES, bind, find, inputs, names, options, source, summary


def test_a_directory_is_the_catalogue():
    assert {"gsm8k", "svamp", "word_problems"} <= set(names("task"))
    assert names("objective") == sorted(names("objective"))
    assert not any(name.startswith("_") for kind in PACKAGES for name in names(kind))


def test_a_part_is_the_function_of_its_files_name():
    part = find("verifier", "exact_number")
    assert part.__name__ == "exact_number"
    assert inputs(part)[:2] == ["completion", "example"]
    assert summary(part).endswith(".")


@pytest.mark.parametrize(
    ("kind", "name", "where"),
    [
        ("objective", "forward_kl", "arXiv:1503.02531"),
        ("task", "trec", "Li and Roth 2002, COLING"),
        ("task", "word_problems", ""),
        ("shaping", "soft_overlong", "DAPO, arXiv:2503.14476 eq. 13"),
    ],
)
def test_a_part_names_the_paper_it_comes_from(kind, name, where):
    assert source(find(kind, name)) == where


def test_settings_are_bound_and_inputs_are_not():
    part = bind("task", "word_problems", {"size": 3, "operations": [2, 2]}, "task")
    assert len(list(part("test"))) == 3
    assert set(options(find("task", "word_problems"))) == {"operations", "size", "seed"}


@pytest.mark.parametrize(
    ("kind", "name", "message"),
    [
        (
            "verifier",
            "exact_nmber",
            "no verifier is called 'exact_nmber'. Did you mean 'exact_number'? (`whit parts verifier`",
        ),
        ("task", "zzz", "no task is called 'zzz'. There is: "),
        ("verifyer", "x", "there is no kind of part called 'verifyer'. Did you mean 'verifier'?"),
        (
            "task",
            "no_such.module:part",
            "task 'no_such.module:part': 'no_such.module' cannot be imported: No module named",
        ),
        ("task", "json:lods", "task 'json:lods': 'json' defines no 'lods'. Did you mean 'loads'?"),
        ("task", "nowhere.py:part", "there is no file nowhere.py"),
    ],
)
def test_a_part_that_is_not_there(kind, name, message):
    with pytest.raises(PartError, match=re.escape(message)):
        find(kind, name)


def test_a_setting_that_a_part_does_not_have():
    with pytest.raises(RecipeError, match=r"task\.siz: there is no setting 'siz'\. Did you mean 'size'\?"):
        bind("task", "word_problems", {"siz": 3}, "task")


def test_a_part_of_ones_own_file(tmp_path):
    file = tmp_path / "mine.py"
    file.write_text("def half(verdict, text, *, factor: float = 0.5):\n    return factor * verdict\n")
    assert bind("reward", f"{file}:half", {"factor": 0.25})(4, "") == 1.0
    assert find("reward", f"{file}:half") is find("reward", f"{file}:half")  # loaded once
    with pytest.raises(PartError, match=r"defines no 'hlf'\. Did you mean 'half'\?"):
        find("reward", f"{file}:hlf")


@pytest.mark.parametrize("text", ["raise ValueError('not today')", "import no_such_module", "def broken(:"])
def test_a_file_that_raises_while_it_is_imported(tmp_path, text):
    file = tmp_path / "mine.py"
    file.write_text(text)
    for _ in range(2):  # the second time too: nothing half-made is kept
        with pytest.raises(PartError, match=r"mine\.py' cannot be imported: "):
            find("reward", f"{file}:part")
