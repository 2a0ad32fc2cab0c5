"""How commands talk: results on stdout, progress on stderr, times and sizes in words."""

import json
import shutil
import sys
import time
from typing import Any, TextIO

from whit.core.parts import names
from whit.core.words import WIDTH, count, duration, ranges, wrapped

# What has to be done before a time left is told: the first steps take longer, and the first jobs are shorter.
MEASURED, MEASURED_SECONDS = 0.05, 5.0


def say(text: str = "") -> None:
    """A line of the result."""
    print(text, flush=True)


def note(text: str) -> None:
    """Progress, beside the result, in lines of at most 80 columns."""
    print("\n".join(map(wrapped, text.splitlines())), file=sys.stderr, flush=True)


def as_json(value: Any) -> None:
    """The result for machines."""
    print(json.dumps(value, indent=1, default=str), flush=True)


def columns(stream: TextIO) -> int:
    """The width of a terminal; 80 for what is piped."""
    return shutil.get_terminal_size((WIDTH, 24)).columns if stream.isatty() else WIDTH


def tell_task(task: Any) -> None:
    """What was found in the file of a recipe's task: splits, columns, verifier, answer format. Of a named task, nothing."""
    from whit.stages._task import is_file, load_task

    if task is None or not is_file(task):
        return
    found = load_task(task)
    sizes = [f"{len(examples):,} {split}" for split, examples in found.splits.items()]
    note(f"{found.name}: {', '.join(sizes[:-1])} and {sizes[-1]} examples")
    for line in found.notes:
        note(line)


def tell_check(line: dict[str, Any]) -> None:
    """A pre-flight check that is not ok; the same words once in a process."""
    text = f"{line['status']}: {line['check']}: {line['message']}. {line['remedy']}"
    if text not in _told:
        _told.add(text)
        note(text)


_told: set[str] = set()


class Ticker:
    """One line on stderr that is rewritten in place; a line every 20 s where stderr is not a terminal."""

    def __init__(self) -> None:
        self.is_terminal = sys.stderr.isatty()
        self.shown_at, self.width = 0.0, 0

    @property
    def columns(self) -> int:
        """What fits on the line, the cursor's place left out."""
        return columns(sys.stderr) - 1

    def show(self, text: str) -> None:
        every = 0.2 if self.is_terminal else 20.0
        if time.monotonic() - self.shown_at < every:
            return
        self.shown_at = time.monotonic()
        if self.is_terminal:
            text = text[: self.columns]
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
    """Progress of one pipeline: stage, share of its budget, loss or reward, rate and time left of it."""

    def __init__(self, num_stages: int = 1) -> None:
        self.ticker, self.stage, self.started, self.first = Ticker(), "", 0.0, 0.0
        self.num_stages = num_stages

    def __call__(self, line: dict[str, Any]) -> None:
        if "check" in line:
            self.ticker.clear()
            tell_check(line)
            return
        if "evaluating" in line:
            self.ticker.show(f"scoring on {line['evaluating']}: {count(line['new_tokens'])} tokens")
            return
        if "guard" in line:
            self.ticker.clear()
            note(f"warning: {line['guard']}")
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
        if "space" in line:
            self.ticker.clear()
            note(_space_words(line["space"]))
            return
        for made in ("traces", "views", "form"):
            if made in line:
                self.ticker.clear()
                counts = {name.replace("_", " "): n for name, n in line[made].items() if isinstance(n, int)}
                note(f"{made}: " + ", ".join(f"{number:,} {name}" for name, number in counts.items()))
                return
        stage, progress = self._stage(line), line.get("progress")
        if "resumed" in line:
            self.ticker.clear()
            note(f"{stage}: goes on at {100 * line['progress']:.0f} %, after step {line['resumed']:,}")
            return
        if line.get("found"):
            self.ticker.clear()
            note(f"{stage}: found, made earlier")
            return
        if progress is None:
            self.ticker.show(f"{stage} {count(line['documents'])} of {count(line['of'])}" if "of" in line else stage)
            return
        if stage != self.stage:
            self.stage, self.started, self.first = stage, time.monotonic(), progress
        shown = ("reward", "cross_entropy", "prediction", "explanation", *names("objective"), "entropy")
        found = dict.fromkeys(name for name in shown if isinstance(line.get(name), float))
        numbers = [f"{name} {line[name]:.3f}" for name in list(found)[: 2 if "reward" in found else 3]]
        rate = f"{line['tokens'] / line['seconds']:.0f} tok/s" if line.get("tokens") and line.get("seconds") else ""
        left = time_left(time.monotonic() - self.started, progress - self.first, 1 - progress)
        self.ticker.show(f"{stage} {100 * progress:3.0f} %  {'  '.join([*numbers, rate, left])}")

    def _stage(self, line: dict[str, Any]) -> str:
        of = f" of {self.num_stages}" if self.num_stages > 1 else ""
        return f"stage {line.get('stage', 1)}{of} ({line.get('kind', '')})"


def _space_words(found: dict[str, Any]) -> str:
    if "prompts" in found:
        return f"building the space of {found['labels']} labels: at most {found['prompts']:,} prompts"
    layers = f"understanding {ranges(found['understanding'])}, prediction {ranges(found['prediction'])}"
    return f"the space guides after layers: {layers}"


def time_left(elapsed: float, done: float, ahead: float) -> str:
    """'12 min left'; "" while too little is done to know. done, ahead: of one and the same work, in the same unit."""
    if done < MEASURED * (done + ahead) or elapsed < MEASURED_SECONDS:
        return ""
    return f"about {duration(elapsed * ahead / done)} left"
