"""The parts of one's own that docs/rl.md shows do what it says, each in a run of a tiny model."""

import re
import tomllib
from pathlib import Path

import pytest

from whit.core.parts import find
from whit.core.rundir import read_metrics
from whit.core.types import Answered, Example, Verdict
from whit.curricula._types import Tried
from whit.recipes.execute import execute
from whit.recipes.pipeline import Site
from whit.recipes.recipe import Recipe

PAGE = (Path(__file__).parents[2] / "docs" / "rl.md").read_text()


@pytest.fixture
def here(tmp_path, monkeypatch):
    """A directory with the page's examples as my.py."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "my.py").write_text("\n\n".join(re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)))
    return tmp_path


REWARDS = [line for block in re.findall(r"```toml\n(.*?)```", PAGE, re.DOTALL) for line in block.splitlines()]
SETTINGS = [*REWARDS, 'shaping = "my.py:early"', 'curriculum = { name = "my.py:ShortFirst", first = 64 }']


@pytest.mark.parametrize("line", SETTINGS, ids=lambda line: re.search(r"my\.py:(\w+)", line)[1])
def test_a_setting_of_the_page_runs(line, here, tiny_model, sums):
    assert line.partition("#")[0].strip() in PAGE or "shaping" in line
    stage = {"kind": "rl", "prompts_per_step": 2, "algorithm": {"name": "grpo", "group_size": 2}, **tomllib.loads(line)}
    recipe = Recipe.make({
        "name": "r", "model": str(tiny_model), "task": str(sums), "dtype": "float32", "max_new_tokens": 12,
        "budget": {"flops": 3e8}, "evaluate": {"items": 2, "samples": 1}, "stage": [stage], "ignore_checks": ["truncation"],
    })  # fmt: skip
    assert execute(recipe, Site(here / "runs"), here / "run")["outcome"] in ("finished", "no_signal")


def test_the_function_for_trl_of_the_page_judges(here, tiny_model, sums):
    task = {"name": str(sums), "verifier": "my.py:close"}
    recipe = Recipe.make({
        "name": "r", "model": str(tiny_model), "task": task, "dtype": "float32", "max_new_tokens": 12,
        "budget": {"flops": 3e8}, "evaluate": {"items": 2, "samples": 1}, "ignore_checks": ["truncation"],
        "stage": [{"kind": "rl", "prompts_per_step": 2}],
    })  # fmt: skip
    run = execute(recipe, Site(here / "runs"), here / "run")
    assert run["outcome"] in ("finished", "no_signal")
    assert read_metrics(Path(run["stages"][0]["path"]) / "metrics.jsonl")[0]["not_judged"] == 0.0


def test_what_the_examples_of_the_page_give(here):
    brief, shows_work = find("reward", "my.py:brief"), find("reward", "my.py:shows_work")
    assert brief(Verdict(True), "a " * 30) == pytest.approx(1.1) and brief(Verdict(False), "") == 0.0
    assert shows_work(Verdict(False), "1 = 1") == pytest.approx(1 / 3)
    answers = [Answered(1.0, True, 5, 20), Answered(1.0, True, 9, 20), Answered(0.0, False, 20, 20)]
    assert find("shaping", "my.py:early")(answers) == pytest.approx([1.1, 1.0, -0.1])
    examples = [Example(str(n), "?" * (10 - n), "1") for n in range(8)]
    curriculum = find("curriculum", "my.py:ShortFirst")(examples, 0, first=2)
    assert sorted(curriculum.choose(2)) == [6, 7]
    curriculum.see([Tried(6, 1.0), Tried(7, 1.0)])
    assert sorted(curriculum.choose(4)) == [4, 5, 6, 7]
    close = find("verifier", "my.py:close")
    assert close(["It is 7.", "8", "none"], ["7", "7", "7"]) == [1.0, 0.5, None]
