"""One tree of errors. Each says what was given, where, what is needed and what to change.

`exit_code` is what the command line returns: 2 when the request itself is wrong, 1 when something failed on the way.
"""

from collections.abc import Iterable
from difflib import get_close_matches


class WhitError(Exception):
    """Anything that whit refuses or fails at, with a message for the user."""

    exit_code = 1


class UsageError(WhitError, ValueError):
    """The request cannot be carried out as written: a name, a type, a range, a combination."""

    exit_code = 2


class RecipeError(UsageError):
    """A recipe or study file holds something that is not understood; the message starts with its dotted path."""


class PartError(UsageError, LookupError):
    """No part (objective, task, verifier, ...) has this name."""


class BudgetError(UsageError):
    """The budget does not buy what was asked for."""


class DataError(WhitError, ValueError):
    """A data file or a task holds something that cannot be used; the message names the line or the example."""


class ModelError(WhitError, OSError):
    """A model directory cannot be loaded or saved."""


class NoSuchModelError(ModelError, UsageError):
    """No directory, nickname or repository has the name of the model that was asked for."""

    exit_code = 2


class NoSuchColumnError(DataError, UsageError):
    """A data file has no column of the name that was asked for."""

    exit_code = 2


class TemplateError(WhitError, ValueError):
    """Text cannot be rendered to tokens: no chat template, or a prompt longer than the context."""


class PromptTooLongError(TemplateError):
    """A prompt leaves no room in the model's context. num_tokens: of the prompt; max_length: of the context."""

    def __init__(self, message: str, num_tokens: int, max_length: int):
        super().__init__(message)
        self.num_tokens, self.max_length = num_tokens, max_length


class PreflightError(WhitError, RuntimeError):
    """A check before the first step found that a run would go wrong in silence."""


class RunError(WhitError, RuntimeError):
    """A run failed after it had started; what was finished is kept."""


class SandboxError(WhitError, RuntimeError):
    """Model-written code cannot be isolated on this machine, and was not run."""


class CollapseError(RunError):
    """Training produced a loss or gradient that is not finite."""


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """ " Did you mean 'x'?" for the closest of `known`, or the list of what there is."""
    known = sorted(known)
    # A ratio alone takes 'sft-rl' for 'sfr': all its letters are there. What was typed wrong is few keys away.
    close = sorted(get_close_matches(name, known, n=len(known) or 1, cutoff=0.6), key=lambda other: edits(name, other))
    if close:
        return f" Did you mean '{close[0]}'?"
    return f" There is: {', '.join(known)}." if known else ""


def edits(a: str, b: str) -> int:
    """How many letters have to be put in, left out, replaced or swapped with the next one to make `b` of `a`."""
    before: list[int] = []
    last = list(range(len(b) + 1))
    for i, letter in enumerate(a, 1):
        row = [i]
        for j, other in enumerate(b, 1):
            row.append(min(last[j] + 1, row[j - 1] + 1, last[j - 1] + (letter != other)))
            if before and j > 1 and letter == b[j - 2] and a[i - 2] == other:
                row[j] = min(row[j], before[j - 2] + 1)
        before, last = last, row
    return last[-1]
