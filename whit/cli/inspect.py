"""`whit inspect RECIPE`: three training samples as tokens, the supervised ones in colour."""

import sys
from typing import Annotated

import typer

from whit.cli._show import columns, say
from whit.core.words import wrapped

GOES_ON = "... "
GREEN, DIM, RESET = "\x1b[32m", "\x1b[2m", "\x1b[0m"


def inspect(
    recipe: Annotated[str, typer.Argument(help="A .toml file, or the name of a library recipe.")],
    overrides: Annotated[list[str] | None, typer.Argument(help="name=value, such as model=DIR task=data.csv")] = None,
    count: Annotated[int, typer.Option("--count", min=1, help="How many samples.")] = 3,
) -> None:
    """Show what a recipe trains on, token by token: supervised tokens green, or between [[ ]] when piped."""
    from whit.recipes.preview import preview
    from whit.recipes.recipe import Recipe

    for sample in preview(Recipe.read(recipe, overrides or []), count):
        supervised = "what follows is written by a model" if sample.written else (
            f"{sample.num_supervised} of {len(sample.tokens)} tokens are supervised"
        )  # fmt: skip
        say(wrapped(f"--- {sample.id}: {supervised}"))
        say(_coloured(sample.tokens, sample.is_supervised))


def _coloured(tokens: list[str], is_supervised: list[bool]) -> str:
    """The tokens as text; a line that is too long goes on below, behind a mark: the line break is not in the data."""
    is_terminal = sys.stdout.isatty()
    on, off, dim = (GREEN, RESET, DIM) if is_terminal else ("[[", "]]", "")
    width, place = columns(sys.stdout) - 2 * len("[["), 0  # with room for the brackets of a piped line
    pieces, before = [dim], False
    for token, scored in zip(tokens, is_supervised, strict=True):
        if place and place + len(token.partition("\n")[0]) > width:
            pieces.append(f"\n{GOES_ON}")
            place = len(GOES_ON)
        if scored != before:
            pieces.append((RESET + on) if scored and dim else on if scored else off + dim)
        pieces.append(token)
        place = len(token.rpartition("\n")[2]) + (0 if "\n" in token else place)
        before = scored
    return "".join(pieces) + (off if before else RESET if dim else "")
