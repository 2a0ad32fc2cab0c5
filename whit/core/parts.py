"""Parts are found by file name: `whit/objectives/reverse_kl.py` defines `reverse_kl`. There is no registry.

Positional parameters of a part are what the system supplies; keyword-only parameters are what a recipe may set.
A part kept elsewhere is named `package.module:attribute` or `path/to/file.py:attribute`.
"""

import importlib
import importlib.util
import inspect
import re
import sys
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from whit.core.errors import PartError, did_you_mean
from whit.core.settings import check_settings

PACKAGES = {
    "objective": "objectives",
    "algorithm": "algorithms",
    "reward": "rewards",
    "shaping": "shaping",
    "curriculum": "curricula",
    "verifier": "verifiers",
    "task": "tasks",
    "prompting": "prompting",
    "stage": "stages",
    "strategy": "strategies",
    "source": "data/sources",
    "form": "data/forms",
    "transform": "data/transforms",
    "check": "preflight",
}
ROOT = Path(__file__).resolve().parent.parent


def names(kind: str) -> list[str]:
    """The parts of a kind, in alphabetical order: the listing of its directory."""
    if kind not in PACKAGES:
        raise PartError(f"there is no kind of part called '{kind}'.{did_you_mean(kind, PACKAGES)}")
    files = (ROOT / PACKAGES[kind]).glob("*.py")
    return sorted(file.stem for file in files if not file.stem.startswith("_"))


def find(kind: str, name: str) -> Callable[..., Any]:
    """The part `name` of `kind`, imported now and not before.

    Raises PartError when there is none, with the closest name.
    """
    if ":" in name:
        return _find_elsewhere(kind, name)
    known = names(kind)
    if name not in known:
        raise PartError(
            f"no {kind} is called '{name}'.{did_you_mean(name, known)} (`whit parts {kind}` lists them; "
            "one of your own is named file.py:function)"
        )
    module = importlib.import_module(f"whit.{PACKAGES[kind].replace('/', '.')}.{name}")
    part: Callable[..., Any] = getattr(module, name)
    return part


def declared(kind: str, name: str, what: str) -> Any:
    """What the file of a part says beside it, such as a verifier's `ask_for`; None where it says nothing.

    Nothing is looked for in a file of the user's own.
    """
    return None if ":" in name else getattr(sys.modules[find(kind, name).__module__], what, None)


def bind(kind: str, name: str, settings: Mapping[str, Any], path: str = "") -> Callable[..., Any]:
    """The part with its settings fixed; names, types and ranges of the settings are checked here.

    path: where the settings stand in a recipe, for the error.
    """
    part = find(kind, name)
    return partial(part, **check_settings(part, settings, path or f"{kind} '{name}'"))


def options(part: Callable[..., Any]) -> dict[str, inspect.Parameter]:
    """The keyword-only parameters of a part: what a recipe may set."""
    parameters = inspect.signature(part).parameters
    return {name: p for name, p in parameters.items() if p.kind is inspect.Parameter.KEYWORD_ONLY}


def inputs(part: Callable[..., Any]) -> list[str]:
    """The positional parameters of a part: what the system supplies, such as the signals of an objective."""
    kinds = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    part = part.func if isinstance(part, partial) else part
    return [name for name, p in inspect.signature(part).parameters.items() if p.kind in kinds]


def summary(part: Callable[..., Any]) -> str:
    """The first line of a part's docstring, or of its module's when the function has none."""
    doc = inspect.getdoc(part) or inspect.getdoc(sys.modules[part.__module__]) or ""
    return doc.strip().partition("\n")[0]


def source(part: Callable[..., Any]) -> str:
    """The paper that a part's module names: "arXiv:1503.02531", "Li and Roth 2002"; "" when it names none."""
    doc = " ".join((inspect.getdoc(sys.modules[part.__module__]) or "").split())
    found = re.search(
        r"arXiv:\d{4}\.\d{5}|(?<=Source: ).+?(?=(?<!\beq)(?<!\bal)\.(?: |$))", doc
    )  # "eq. 13", "et al. 2025"
    return found[0] if found else ""


def _find_elsewhere(kind: str, name: str) -> Callable[..., Any]:
    where, _, attribute = name.rpartition(":")
    try:
        module = _load_file(Path(where)) if where.endswith(".py") else importlib.import_module(where)
    except PartError:
        raise
    except Exception as error:  # a user's module may raise anything while it is imported
        raise PartError(f"{kind} '{name}': '{where}' cannot be imported: {error}") from error
    part: Callable[..., Any] | None = getattr(module, attribute, None)
    if part is None:
        public = [key for key in vars(module) if not key.startswith("_")]
        raise PartError(f"{kind} '{name}': '{where}' defines no '{attribute}'.{did_you_mean(attribute, public)}")
    return part


def _load_file(file: Path) -> Any:
    if not file.exists():
        raise PartError(f"there is no file {file}")
    name = f"whit_user_{file.stem}_{abs(hash(file.resolve()))}"
    if name in sys.modules:
        return sys.modules[name]
    spec = importlib.util.spec_from_file_location(name, file)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    return module
