"""`whit parts [KIND]`: the catalogue, read from the directories, the docstrings and the signatures."""

import textwrap
from collections.abc import Callable
from typing import Annotated, Any

import typer

from whit.cli._options import Json
from whit.cli._show import as_json, say


def parts(
    kind: Annotated[str | None, typer.Argument(help="objective, algorithm, task, ... or recipe")] = None,
    json: Json = False,
) -> None:
    """List the parts of a kind with their settings, or the kinds."""
    from whit.core.errors import PartError, did_you_mean
    from whit.core.parts import PACKAGES, find, inputs, names, options, source, summary
    from whit.recipes.recipe import library

    if kind == "recipe":
        from whit.core.settings import read_toml

        recipes = {name: str(read_toml(path).get("about", "")) for name, path in library().items()}
        if json:
            as_json(recipes)
            return
        for name, about in recipes.items():
            say(f"{name:<18} {about}")
        return
    if kind is None:
        kinds = {kind: names(kind) for kind in PACKAGES} | {"recipe": list(library())}
        if json:
            as_json(kinds)
            return
        for name, members in kinds.items():
            say(f"{name:<10} {', '.join(members) or '-'}")
        return
    if kind not in PACKAGES:
        known = [*PACKAGES, "recipe"]
        meant = did_you_mean(kind, known)
        every = f" (of {', '.join(known)})" if meant.startswith(" Did") else ""  # else they are listed there
        raise PartError(f"there is no kind of part called '{kind}'.{meant}{every}")
    found = {name: find(kind, name) for name in names(kind)}
    if json:
        as_json({name: _facts(part) for name, part in found.items()})
        return
    for name, part in found.items():
        say(f"{name}({', '.join(inputs(part))})")
        for text in (summary(part), source(part)):
            if text:
                say(textwrap.fill(text, 80, initial_indent="    ", subsequent_indent="    ", break_on_hyphens=False))
        for option, parameter in options(part).items():
            default = "needed" if parameter.default is parameter.empty else f"{parameter.default!r}"
            say(f"    {option} = {default}"[:80])


def _facts(part: Callable[..., Any]) -> dict[str, Any]:
    from whit.core.parts import inputs, options, source, summary

    settings = {name: str(parameter) for name, parameter in options(part).items()}
    return {"summary": summary(part), "source": source(part), "inputs": inputs(part), "settings": settings}
