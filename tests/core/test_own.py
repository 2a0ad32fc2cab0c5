"""Calls of parts that may be anybody's: an error names setting, part and line, and one that does not end is told."""

import time

import pytest

from whit.core import own
from whit.core.errors import PartError, RunError
from whit.core.own import Named, finite, is_number, told_when_still
from whit.core.parts import find


def of_file(tmp_path, text, name="mine"):
    tmp_path.mkdir(exist_ok=True)
    file = tmp_path / "my.py"
    file.write_text(text)
    return Named(find("reward", f"{file}:{name}"), "stage.1.reward", "my.py:mine", is_own=True)


def test_a_part_is_called_as_it_is(tmp_path):
    assert of_file(tmp_path, "def mine(a, b):\n    return a + b\n")(1, 2) == 3


def test_what_it_raises_is_told_with_the_last_line_of_its_file(tmp_path):
    part = of_file(tmp_path, "import json\n\n\ndef mine(text):\n    return inner(text)\n\n\ndef inner(text):\n"
                             "    return json.loads(text)\n")  # fmt: skip
    with pytest.raises(RunError) as raised:
        part("x", about="for the text 'x'")
    assert str(raised.value) == (
        "stage.1.reward: my.py:mine raised JSONDecodeError: Expecting value: line 1 column 1 (char 0) (my.py, line 9) "
        "for the text 'x'. Mend it."
    )
    assert isinstance(raised.value.__cause__, ValueError)


def test_an_error_without_words_and_without_a_line(tmp_path):
    with pytest.raises(RunError, match=r"mine raised AssertionError \(my\.py, line 2\)\. Mend it\.$"):
        of_file(tmp_path, "def mine():\n    assert False\n")()
    with pytest.raises(
        RunError, match=r"mine raised TypeError: mine\(\) takes 0 positional arguments but 1 was given\. Mend"
    ):
        of_file(tmp_path / "other", "def mine():\n    pass\n")(1)


def test_errors_of_whit_s_own_are_left_as_they_are():
    def part():
        raise PartError("as it is")

    with pytest.raises(PartError, match=r"^as it is$"):
        Named(part, "a", "b", is_own=False)()


@pytest.mark.parametrize(("seconds", "is_told"), [(0.01, True), (60.0, False)])
def test_a_call_that_has_not_returned_is_told_once_while_it_runs(seconds, is_told, monkeypatch, capsys):
    monkeypatch.setattr(own, "STILL_SECONDS", seconds)
    with told_when_still("reward my.py:loop"):
        time.sleep(0.1)
        said = capsys.readouterr().err
    assert said == ("warning: reward my.py:loop has not returned for 0.01 s\n" if is_told else "")


def test_only_finite_numbers_are_rewards():
    import numpy as np

    assert all(map(is_number, (1, 0.5, True, np.float32(1), np.int64(2))))
    assert not any(map(is_number, (None, "1", [1.0], float("nan"), float("inf"), np.float32("nan"))))
    with pytest.raises(PartError, match=r"^mine gave \[1\.0\] for the text 'x'\. It has to give a finite number\.$"):
        finite([1.0], "mine", "x")


def test_a_function_for_trl_that_does_not_return_is_told(tmp_path, monkeypatch, capsys):
    from whit.core.types import Example
    from whit.verifiers.reward_function import reward_function

    monkeypatch.setattr(own, "STILL_SECONDS", 0.01)
    file = tmp_path / "slow.py"
    file.write_text("import time\n\ndef slow(completions, **more):\n    time.sleep(0.1)\n    return [1.0]\n")
    assert reward_function("7", Example("a", "?", "7"), function=f"{file}:slow").correct
    assert f"verifier {file}:slow has not returned for" in capsys.readouterr().err
