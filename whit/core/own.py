"""Calls of parts that may be anybody's: what they raise, and that they do not end, is told by setting, part and line.

Nothing stops such a part: a call in this process has no time limit. That it has not returned is said while it runs.
"""

import sys
import threading
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from math import isfinite
from numbers import Real
from pathlib import Path
from typing import Any

from whit.core.errors import PartError, RunError, WhitError

STILL_SECONDS = 30.0  # of one call, after which it is said that it runs


@dataclass(frozen=True)
class Named:
    """A part with the setting that names it; it is called as the part is.

    where, name: as errors say them: "stage.1.reward", "my.py:mine". is_own: whether it is, or calls, a part of one's own.
    """

    part: Callable[..., Any]
    where: str
    name: str
    is_own: bool

    def __str__(self) -> str:
        return f"{self.where}: {self.name}"

    def __call__(self, *given: Any, about: str = "") -> Any:
        """What the part gives. about: ends the sentence of an error, such as "for the text '...'".

        Raises RunError for whatever it raises, but errors of whit's own, which say themselves what is wrong.
        """
        try:
            if not self.is_own:
                return self.part(*given)
            with told_when_still(f"{self.where.rpartition('.')[2] or self.where} {self.name}"):
                return self.part(*given)
        except WhitError:
            raise
        except Exception as error:
            told = f"{self} raised {_told(error, self.part)}{f' {about}' if about else ''}. Mend it."
            raise RunError(told) from error


@contextmanager
def told_when_still(what: str) -> Iterator[None]:
    """Say so on stderr, once, where what stands within has not returned after STILL_SECONDS."""
    timer = threading.Timer(STILL_SECONDS, _say, (f"{what} has not returned for {STILL_SECONDS:g} s",))
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


def is_number(value: object) -> bool:
    """Whether a reward is one: a finite number, NumPy's too."""
    return isinstance(value, Real) and isfinite(value)


def finite(value: Any, what: str, text: str) -> float:
    """What a reward gave for a text. Raises PartError, naming the reward, for what is no finite number."""
    if not is_number(value):
        raise PartError(f"{what} gave {shown(value)} for the text {text[:60]!r}. It has to give a finite number.")
    return float(value)


def shown(value: object) -> str:
    """A value in an error, cut off where it is long."""
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def _told(error: Exception, part: Callable[..., Any]) -> str:
    """The error with the last line of the part's own file, or of another user's file, that it came through."""
    while isinstance(part, partial):
        part = part.func
    own = getattr(part, "__module__", None)
    lines = [
        (Path(frame.f_code.co_filename).name, number)
        for frame, number in traceback.walk_tb(error.__traceback__)
        if (name := str(frame.f_globals.get("__name__"))) == own or name.startswith("whit_user_")
    ]
    place = f" ({lines[-1][0]}, line {lines[-1][1]})" if lines else ""
    return f"{type(error).__name__}{f': {error}' if str(error) else ''}{place}"


def _say(text: str) -> None:
    before = "\n" if sys.stderr.isatty() else ""  # behind a line of progress that is rewritten in place
    print(f"{before}warning: {text}", file=sys.stderr, flush=True)
