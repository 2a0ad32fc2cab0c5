"""`whit parts [KIND]`: the catalogue, read from the directories, the docstrings and the signatures."""

import inspect
import re
import sys
import types
from collections.abc import Callable, Iterator, Mapping
from inspect import Parameter
from pathlib import Path
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

import typer

from whit.cli._options import Json
from whit.cli._show import as_json, columns, say
from whit.core.words import wrapped

INDENT = "    "
EXAMPLE = re.compile(r"(strict|accepts|refuses)( \w+)?: .*\|")
OF_EXAMPLES = (
    "Examples, as gold answer | completion. strict: right, in the form asked for, which a word behind it names; accepts: "
    "right, in another form; refuses: wrong."
)
IN_WORDS = {bool: "true or false", int: "a whole number", float: "a number", str: "a text", Path: "a path"}


def parts(
    kind: Annotated[str | None, typer.Argument(help="objective, algorithm, task, ... or recipe")] = None,
    name: Annotated[
        str | None, typer.Argument(help="One of them: all that is said of it; of a recipe its text.")
    ] = None,
    json: Json = False,
) -> None:
    """List the parts of a kind with their settings as a recipe writes them, or the kinds; or show one part."""
    from whit.core.errors import PartError, did_you_mean
    from whit.core.parts import PACKAGES, find, names
    from whit.recipes.recipe import library

    if kind == "recipe":
        from whit.core.settings import read_toml

        if name is not None:
            say(_recipe(name).rstrip())
            return
        recipes = {name: str(read_toml(path).get("about", "")) for name, path in library().items()}
        as_json(recipes) if json else _table(recipes, 18)
        return
    if kind is None:
        kinds = {kind: names(kind) for kind in PACKAGES} | {"recipe": list(library())}
        as_json(kinds) if json else _table({name: ", ".join(found) or "-" for name, found in kinds.items()}, 10)
        return
    if kind not in PACKAGES:
        known = [*PACKAGES, "recipe"]
        meant = did_you_mean(kind, known)
        every = f" (of {', '.join(known)})" if meant.startswith(" Did") else ""  # else they are listed there
        raise PartError(f"there is no kind of part called '{kind}'.{meant}{every}")
    chosen = names(kind) if name is None else [name]
    found = {each: find(kind, each) for each in chosen}
    if json:
        as_json({name: _facts(part) for name, part in found.items()})
        return
    for each, part in found.items():
        _tell(each, part, whole=name is not None)


def _recipe(name: str) -> str:
    from whit.core.errors import PartError, did_you_mean
    from whit.recipes.recipe import library

    if name not in library():
        raise PartError(f"no recipe of the library is called '{name}'.{did_you_mean(name, library())}")
    return library()[name].read_text()


def _table(rows: Mapping[str, str], width: int) -> None:
    for name, text in rows.items():
        say(wrapped(f"{name:<{width}} {text}", rest=" " * (width + 1), width=columns(sys.stdout)))


def _tell(name: str, part: Callable[..., Any], *, whole: bool) -> None:
    """whole: with all that its file and its docstring say."""
    from whit.core.parts import inputs, options, source, summary

    width = columns(sys.stdout)
    say(wrapped(f"{name}({', '.join(inputs(part))})", rest=INDENT, width=width))
    if whole:
        about = [*_items(inspect.getdoc(sys.modules[part.__module__]) or ""), *_items(inspect.getdoc(part) or "")]
    else:
        about = [summary(part), source(part)]
    first = next((text for text in about if whole and EXAMPLE.match(text)), None)
    for text in filter(None, about):
        if text is first:
            say(wrapped(OF_EXAMPLES, first=INDENT, rest=INDENT + "  ", width=width))
        say(wrapped(text, first=INDENT, rest=INDENT + ("  " if whole else ""), width=width))
    hints = get_type_hints(part, include_extras=True)
    for option, parameter in options(part).items():
        for line in setting_lines(option, hints.get(option, Any), parameter.default):
            rest = INDENT + ("#   " if line.startswith("#") else "  ")
            say(wrapped(line, first=INDENT, rest=rest, width=width))


def _items(doc: str) -> Iterator[str]:
    """A docstring's paragraphs, and in them what is said of each setting, every one on a line of its own."""
    for paragraph in doc.split("\n\n"):
        item = ""
        for line in paragraph.splitlines():
            if item and re.match(r"[a-z_][\w, ]*: ", line):
                yield item
                item = ""
            item = f"{item} {line.strip()}".strip()
        yield item


def setting_lines(name: str, annotation: Any, default: Any) -> Iterator[str]:
    """A setting with its default as a recipe writes it; what TOML has no word for, in a comment."""
    from whit.core.settings import Frozen, to_plain, toml_value

    if isinstance(default, Frozen):
        yield from _fields(name, type(default), default)
        return
    table = next((choice for choice in _choices(annotation) if _is_table(choice)), None)
    if default is None:
        yield f"# {name}: not set; it takes {_in_words(annotation)}" + (":" if table else "")
        if table:
            yield from (f"#   {line.removeprefix('# ')}" for line in _fields(name, table, None))
        return
    if default is Parameter.empty:
        yield f"# {name}: needed; it takes {_in_words(annotation)}"
        return
    plain = to_plain(default)
    if isinstance(plain, list) and plain and isinstance(plain[0], dict):
        yield f"{name} = ["
        yield from (f"  {toml_value(item)}," for item in plain)
        yield "]"
        return
    others = f"  # {_in_words(annotation)}" if any(get_origin(c) is Literal for c in _choices(annotation)) else ""
    yield f"{name} = {toml_value(plain)}{others}"


def _fields(name: str, table: Any, given: Any) -> Iterator[str]:
    """The settings of a table, each by its dotted name. given: where they differ from the table's own defaults."""
    for field, info in table.model_fields.items():
        default = Parameter.empty if info.is_required() else info.get_default(call_default_factory=True)
        default = default if given is None else getattr(given, field)
        yield from setting_lines(f"{name}.{field}", info.annotation, default)


def _choices(annotation: Any) -> list[Any]:
    """What an annotation allows, one type each: those of a union, without None, and without pydantic's limits."""
    if get_origin(annotation) is Annotated:
        return _choices(get_args(annotation)[0])
    if get_origin(annotation) in (Union, types.UnionType):
        return [choice for part in get_args(annotation) if part is not type(None) for choice in _choices(part)]
    return [annotation]


def _in_words(annotation: Any) -> str:
    """'"own" or "given"', 'a whole number', 'a table'."""
    from whit.core.settings import toml_value

    words: list[str] = []
    for choice in _choices(annotation):
        if get_origin(choice) is Literal:
            words += [toml_value(value) for value in get_args(choice)]
        elif _is_table(choice) or issubclass(get_origin(choice) or object, Mapping):
            words.append("a table")
        else:
            words.append(IN_WORDS.get(choice, "a list" if get_origin(choice) in (tuple, list) else "a value"))
    words = list(dict.fromkeys(words))
    return " or ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words)


def _is_table(choice: Any) -> bool:
    from whit.core.settings import Frozen

    return isinstance(choice, type) and issubclass(choice, Frozen)


def _facts(part: Callable[..., Any]) -> dict[str, Any]:
    from whit.core.parts import inputs, options, source, summary

    settings = {name: str(parameter) for name, parameter in options(part).items()}
    return {"summary": summary(part), "source": source(part), "inputs": inputs(part), "settings": settings}
