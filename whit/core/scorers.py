"""Which scorers of Reasoning Gym are not used: those that may run the text that they score, and those that take junk.

The first are found in their source, before any of them is asked.
A scorer is Python of the library, and some give the answer to `eval`, or to sympy, which does. Nothing that a model wrote
is run outside the sandbox, so these are not used. What is not known to be harmless counts as harmful: a scorer may reach
the library's own functions, and modules and builtins that read text and do not run it. The library is read, not imported.
"""

import ast
import importlib.util
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from whit.core.errors import UsageError

PACKAGE = "reasoning_gym"
CORRECT_AT = 1 - 1e-9  # a sum of shares may miss 1 by its rounding
JUNK = ("banana", "0", "nan")
HARMLESS = frozenset({  # modules of which nothing runs text
    "abc", "bisect", "calendar", "cmath", "collections", "copy", "csv", "dataclasses", "datetime", "decimal", "enum",
    "fractions", "functools", "heapq", "itertools", "json", "math", "pathlib", "random", "re", "statistics", "string",
    "time", "typing", "zlib", "zss",
})  # fmt: skip
HARMLESS_NAMES = frozenset({  # of other modules
    "ast.literal_eval", "importlib.resources.files", "magiccube.cube.Cube", "numpy.allclose", "numpy.array", "numpy.empty",
    "numpy.float32", "numpy.isclose", "numpy.loadtxt", "numpy.ndarray", "numpy.random.default_rng", "numpy.round",
})  # fmt: skip
HARMFUL = frozenset({  # builtins, and methods of objects that are not known
    "__import__", "breakpoint", "compile", "eval", "exec", "getattr", "globals", "locals", "setattr", "vars",
})  # fmt: skip


def require_reader(name: str, scorer: type) -> None:
    """Raises UsageError when the scorer of the generator `name` may run the answers that it is given."""
    if found := runs_text(scorer):
        raise UsageError(
            f"reasoning_gym: '{name}' is not used: its scorer may run the text that it scores (by '{found}'), and what a "
            "model wrote is run in the sandbox only. Take another generator, or a task of whit's own, such as 'countdown' "
            "(`whit parts task` lists them)."
        )


def require_judge(name: str, generator: Any, entries: Sequence[Mapping[str, Any]], golds: Sequence[str]) -> None:
    """Raises UsageError when the scorer of the generator `name` takes junk, or the answer to another of its questions.

    generator: has the method `score_answer`. entries: questions that it made. golds: their answers.
    """
    for entry, gold in zip(entries, golds, strict=True):
        others = [other for other in golds if other != gold][:1]
        for junk in (*JUNK, *others):
            if not (junk == "0" and _is_zero(gold)) and _is_taken(generator, junk, entry):
                raise UsageError(
                    f"reasoning_gym: '{name}' is not used: its scorer takes {junk[:60]!r} where {gold[:60]!r} is the "
                    "answer. Take another generator, or other settings for this one."
                )


def _is_taken(generator: Any, answer: str, entry: Mapping[str, Any]) -> bool:
    try:
        return bool(generator.score_answer(answer, entry) >= CORRECT_AT)
    except Exception:  # no answer to it, then
        return False


def _is_zero(gold: str) -> bool:
    try:
        return float(gold) == 0
    except ValueError:
        return False


@cache
def runs_text(scorer: type) -> str:
    """What a scorer may reach that is not known to be harmless, such as "eval"; "" for one that only reads.

    scorer: a class of the library with a method `score_answer`.
    """
    owner = next(kind for kind in scorer.__mro__ if "score_answer" in vars(kind))
    module = _library()[0].get(owner.__module__)
    if module is None:
        return f"a scorer of {owner.__module__}"
    todo = [function for function in module.defined[owner.__name__] if _name(function.node) == "score_answer"]
    seen: set[int] = set()
    while todo:
        function = todo.pop()
        if id(function.node) in seen:
            continue
        seen.add(id(function.node))
        for name, is_harmless, found in _reached(function):
            if not (found or is_harmless):
                return name
            todo += found
    return ""


class _Function(NamedTuple):
    """Code of the library that a name stands for: a function, a method, or what an attribute is set to."""

    node: ast.AST
    module: "_Module"


class _Module(NamedTuple):
    """defined: what a name at its top stands for; all methods for a class. imports: from a name to a dotted one."""

    defined: dict[str, list[_Function]]
    imports: dict[str, str]


def _reached(function: _Function) -> Iterator[tuple[str, bool, list[_Function]]]:
    """Every name that a function uses, whether it is known to be harmless, and what it may stand for in the library."""
    imports, defined = function.module.imports, function.module.defined
    modules, by_name = _library()
    for first, *rest in _names(function.node):
        if first not in imports:
            if first:
                yield first, first not in HARMFUL, defined.get(first, [])
            for name in rest:  # a method or an attribute of whatever has one of this name
                yield name, name not in HARMFUL, by_name.get(name, [])
            continue
        name = ".".join([imports[first], *rest])
        if name.split(".")[0] == PACKAGE:
            yield name, name in modules, _defined(name)
        else:
            yield name, name in HARMLESS_NAMES or name.split(".")[0] in HARMLESS, []


def _names(node: ast.AST) -> Iterator[list[str]]:
    """The names in a piece of code, those with dots in parts; the first part is "" where it is no name."""
    if isinstance(node, ast.Name):
        yield [node.id]
    elif isinstance(node, ast.Attribute):
        inside = list(_names(node.value))
        yield from [[*inside[0], node.attr]] if _is_dotted(node) else [*inside, ["", node.attr]]
    else:
        for child in ast.iter_child_nodes(node):
            yield from _names(child)


def _defined(name: str) -> list[_Function]:
    """What a dotted name inside the library stands for, followed through the modules that only import it."""
    modules, _ = _library()
    owner, rest = name, ""
    while owner not in modules:
        owner, _, last = owner.rpartition(".")
        rest = f"{last}.{rest}".strip(".")
    first, _, rest = rest.partition(".")
    if first in modules[owner].imports:
        return _defined(f"{modules[owner].imports[first]}.{rest}".strip("."))
    return modules[owner].defined.get(first, [])


def _is_dotted(node: ast.expr) -> bool:
    return isinstance(node, ast.Name) or (isinstance(node, ast.Attribute) and _is_dotted(node.value))


def _name(node: ast.AST) -> str:
    return str(getattr(node, "name", ""))


@cache
def _library() -> tuple[dict[str, _Module], dict[str, list[_Function]]]:
    """The library's modules by dotted name, and by name what any attribute of that name may be."""
    spec = importlib.util.find_spec(PACKAGE)
    assert spec and spec.origin
    root = Path(spec.origin).parent
    modules: dict[str, _Module] = {}
    by_name: dict[str, list[_Function]] = defaultdict(list)
    for path in sorted(root.rglob("*.py")):
        parts = [PACKAGE, *path.relative_to(root).with_suffix("").parts]
        is_package = parts[-1] == "__init__"
        name = ".".join(parts[:-1] if is_package else parts)
        module = modules[name] = _Module(defaultdict(list), {})
        tree = ast.parse(path.read_bytes())
        _imports(tree, name if is_package else name.rpartition(".")[0], module.imports)
        for node in ast.walk(tree):
            if isinstance(node, ast.ClassDef):
                module.defined[node.name] += [_Function(part, module) for part in (*node.bases, *node.body)]
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name != "__init__":  # its class has it
                by_name[node.name].append(_Function(node, module))
            for target, value in _assigned(node):
                if isinstance(target, ast.Attribute):
                    by_name[target.attr].append(_Function(value, module))
        for node in tree.body:
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                module.defined[node.name].append(_Function(node, module))
            for target, value in _assigned(node):
                if isinstance(target, ast.Name):
                    module.defined[target.id].append(_Function(value, module))
    return modules, by_name


def _assigned(node: ast.AST) -> list[tuple[ast.expr, ast.expr]]:
    """What a statement sets, and to what."""
    if isinstance(node, ast.Assign):
        return [(target, node.value) for target in node.targets]
    return [(node.target, node.value)] if isinstance(node, ast.AnnAssign) and node.value else []


def _imports(tree: ast.AST, package: str, imports: dict[str, str]) -> None:
    """Add what every import of a module, inside functions too, binds."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                bound = alias.asname or alias.name.partition(".")[0]
                imports[bound] = alias.name if alias.asname else bound
        if isinstance(node, ast.ImportFrom):
            above = package.split(".")[: len(package.split(".")) - node.level + 1] if node.level else []
            source = ".".join([*above, *([node.module] if node.module else [])])
            for alias in node.names:
                imports[alias.asname or alias.name] = f"{source}.{alias.name}"
