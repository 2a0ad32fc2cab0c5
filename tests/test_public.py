"""The names that `import whit` gives."""

import ast
from pathlib import Path

import pytest

import whit

NAMES = [
    "Artifact", "Budget", "Engine", "Example", "Interval", "Message", "Recipe", "Renderer", "Sampling", "Site", "Study",
    "Verdict", "WhitError", "evaluate", "execute", "export_model", "load_policy", "load_task", "plan_study",
    "render_leaderboard", "run_pipeline", "run_study", "score",
]  # fmt: skip


def test_the_public_names_are_these_and_sorted():
    assert whit.__all__ == NAMES == sorted(NAMES)
    assert dir(whit) == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_a_public_name_is_what_type_checkers_see(name):
    tree = ast.parse(Path(whit.__file__).read_text())
    block = next(node for node in tree.body if isinstance(node, ast.If))
    homes = {
        alias.asname or alias.name: (node.module, alias.name)
        for node in block.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    assert homes.keys() == set(NAMES)
    module, attribute = homes[name]
    value = getattr(whit, name)
    assert (value.__module__, value.__name__) == (module, attribute)
    assert value.__doc__


def test_a_name_that_is_not_there():
    with pytest.raises(AttributeError, match="module 'whit' has no attribute 'Trainer'"):
        whit.Trainer  # noqa: B018
