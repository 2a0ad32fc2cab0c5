"""`whit inspect RECIPE`: three training samples as tokens, the supervised ones in colour."""

import sys
from typing import Annotated

import typer

from whit.cli._show import say

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
        say(f"--- {sample.id}: {supervised}")
        say(_coloured(sample.tokens, sample.is_supervised))


def _coloured(tokens: list[str], is_supervised: list[bool]) -> str:
    on, off, dim = (GREEN, RESET, DIM) if sys.stdout.isatty() else ("[[", "]]", "")
    pieces, before = [dim], False
    for token, scored in zip(tokens, is_supervised, strict=True):
        if scored != before:
            pieces.append((RESET + on) if scored and dim else on if scored else off + dim)
        pieces.append(token)
        before = scored
    return "".join(pieces) + (off if before else RESET if dim else "")
