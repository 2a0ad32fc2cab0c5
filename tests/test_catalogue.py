"""Every part can be found, read and set: its file defines a function of its own name, and says what it is."""

import inspect
from typing import get_type_hints

import pytest

from whit.core.parts import PACKAGES, find, names, options, summary
from whit.core.settings import all_settings

PARTS = [(kind, name) for kind in PACKAGES for name in names(kind)]


@pytest.mark.parametrize(("kind", "name"), PARTS)
def test_a_part_is_a_function_of_its_files_name_with_a_docstring(kind, name):
    part = find(kind, name)
    assert inspect.isfunction(part)
    assert part.__name__ == name
    assert part.__module__ == f"whit.{PACKAGES[kind].replace('/', '.')}.{name}"
    first = summary(part)
    assert len(first) > 20 and first.endswith("."), first
    assert inspect.getdoc(inspect.getmodule(part)), "its module says where it comes from"


@pytest.mark.parametrize(("kind", "name"), PARTS)
def test_the_settings_of_a_part_have_types_and_its_defaults_pass_its_own_checks(kind, name):
    part = find(kind, name)
    hints = get_type_hints(part)
    for option, parameter in options(part).items():
        assert option in hints, f"{option} has no type"
        assert not option.startswith("_")
        if parameter.default is not parameter.empty:
            assert all_settings(part, {**needed(part), option: parameter.default}, "")[option] == parameter.default


def needed(part):
    """Something for the settings without a default: they are all names."""
    return {name: "x" for name, p in options(part).items() if p.default is p.empty}
