"""How commands talk: results on stdout, progress on stderr, times and sizes in words."""

import json
import shutil
import sys
import time
from typing import Any, TextIO

from whit.core.words import WIDTH, count, duration, wrapped


def say(text: str = "") -> None:
    """A line of the result."""
    print(text, flush=True)


def note(text: str) -> None:
    """Progress, beside the result, in lines of at most 80 columns."""
    print(wrapped(text), file=sys.stderr, flush=True)


def as_json(value: Any) -> None:
    """The result for machines."""
    print(json.dumps(value, indent=1, default=str), flush=True)


def columns(stream: TextIO) -> int:
    """The width of a terminal; 80 for what is piped."""
    return shutil.get_terminal_size((WIDTH, 24)).columns if stream.isatty() else WIDTH


def tell_check(line: dict[str, Any]) -> None:
    """A pre-flight check that is not ok; the same words once in a process."""
    text = f"{line['status']}: {line['check']}: {line['message']}. {line['remedy']}"
    if text not in _told:
        _told.add(text)
        note(text)


_told: set[str] = set()


class Ticker:
    """One line on stderr that is rewritten in place; nothing when stderr is not a terminal, but a line a minute."""

    def __init__(self) -> None:
        self.is_terminal = sys.stderr.isatty()
        self.shown_at, self.width = 0.0, 0

    def show(self, text: str) -> None:
        every = 0.2 if self.is_terminal else 60.0
        if time.monotonic() - self.shown_at < every:
            return
        self.shown_at = time.monotonic()
        if self.is_terminal:
            text = text[:79]
            print(f"\r{text:<{self.width}}", end="", file=sys.stderr, flush=True)
            self.width = len(text)
        else:
            note(text)

    def clear(self) -> None:
        """Make place for a line that stays."""
        if self.is_terminal and self.width:
            print(f"\r{'':<{self.width}}\r", end="", file=sys.stderr, flush=True)
            self.width = 0


class StageView:
    """Progress of one pipeline: stage, share of the budget, loss or reward, rate and time left."""

    def __init__(self) -> None:
        self.ticker, self.stage, self.started, self.first = Ticker(), "", 0.0, 0.0

    def __call__(self, line: dict[str, Any]) -> None:
        if "check" in line:
            self.ticker.clear()
            tell_check(line)
            return
        if "evaluating" in line:
            self.ticker.show(f"scoring on {line['evaluating']}: {count(line['new_tokens'])} tokens")
            return
        if "compile" in line:
            self.ticker.clear()
            note(f"layers {line['compile']}")
            return
        if "texts" in line:
            self.ticker.clear()
            counts = {name.replace("_", " "): number for name, number in line["texts"].items() if name != "flops"}
            note("the teacher's texts: " + ", ".join(f"{number:,} {name}" for name, number in counts.items()))
            return
        for made in ("traces", "views", "form"):
            if made in line:
                self.ticker.clear()
                counts = {name.replace("_", " "): n for name, n in line[made].items() if isinstance(n, int)}
                note(f"{made}: " + ", ".join(f"{number:,} {name}" for name, number in counts.items()))
                return
        stage, progress = f"stage {line.get('stage', 1)} {line.get('kind', '')}", float(line.get("progress", 0.0))
        if line.get("found"):
            self.ticker.clear()
            note(f"{stage}: found, made earlier")
            return
        if stage != self.stage:
            self.stage, self.started, self.first = stage, time.monotonic(), progress
        elapsed = time.monotonic() - self.started
        gained = progress - self.first
        left = f"{duration(elapsed * (1 - progress) / gained)} left" if gained > 0 else ""
        numbers = [
            f"{name} {line[name]:.3f}"
            for name in ("cross_entropy", "prediction", "explanation", "forward_kl", "reward", "entropy")
            if isinstance(line.get(name), float)
        ]
        rate = f"{line['tokens'] / line['seconds']:.0f} tok/s" if line.get("tokens") and line.get("seconds") else ""
        self.ticker.show(f"{stage} {100 * progress:3.0f} %  {'  '.join([*numbers, rate, left])}")
