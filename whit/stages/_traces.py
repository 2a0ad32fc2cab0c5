"""Data sets that stages make for the stages after them: completions to train on, in the student's own tokens.

Such a stage's artifact is the start model unchanged, with `traces.jsonl` and `report.json` beside it: whatever takes a
model takes it. The model's files are hard links where the file system has them, so they cost no room.
"""

import json
import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import fmean
from typing import Any

from whit.core.errors import DataError, RunError, TemplateError
from whit.core.ledger import Ledger
from whit.core.rundir import Run, saving
from whit.core.types import Artifact, Message
from whit.data.batch import Document
from whit.data.render import Renderer
from whit.models.load import HUB_FILES

TRACES, REPORT = "traces.jsonl", "report.json"
OWN_FILES = frozenset({"artifact.json", "run.json", "summary.json", "snapshot.json", REPORT})  # *.json, but no model's


@dataclass(frozen=True, slots=True)
class Trace:
    """One completion to train on.

    id: of its example. messages: what is asked, as the student will be asked in training.
    ids: the completion in the student's tokens, its end of turn included; a prefix has no end.
    source: who wrote it: "gold", "teacher", "student", "both", or the name of a file.
    correct: what the verifier said; None where nothing was judged.
    """

    id: str
    messages: tuple[Message, ...]
    text: str
    ids: tuple[int, ...]
    source: str
    correct: bool | None = None

    def document(self, renderer: Renderer) -> Document:
        """The trace as the student trains on it: all of the completion is supervised. Raises TemplateError if too long."""
        prompt = renderer.prompt(self.messages)
        if len(prompt) + len(self.ids) > renderer.max_length:
            raise TemplateError(
                f"the trace of {self.id} has {len(prompt) + len(self.ids)} tokens with its prompt, and the model's context "
                f"holds {renderer.max_length}. Make the traces for this model, with a lower max_new_tokens."
            )
        return Document(ids=[*prompt, *self.ids], spans=((len(prompt), len(prompt) + len(self.ids)),))


def save_traces(
    start: Artifact, run: Run, traces: Sequence[Trace], report: Mapping[str, Any], **outcome: object
) -> Artifact:
    """Seal the artifact of a stage that makes data. Raises DataError when nothing was kept.

    outcome: what else the artifact's record says.
    """
    if not traces:
        told = ", ".join(f"{name} {value}" for name, value in report.items() if isinstance(value, int))
        raise DataError(
            f"stage {run.facts.stage}: no trace was kept ({told}), so the next stage has nothing to train on."
        )
    found = {**report, **lengths(traces)}

    def write(directory: Path) -> None:
        link_model(start.path, directory)
        lines = (json.dumps(_plain(trace), ensure_ascii=False) + "\n" for trace in traces)
        # A lone surrogate cannot be UTF-8; "backslashreplace" writes its JSON escape.
        (directory / TRACES).write_text("".join(lines), encoding="utf-8", errors="backslashreplace")
        (directory / REPORT).write_text(json.dumps(found, indent=1))

    run.notify({"traces": found})
    return run.save(write, traces=found, **outcome)


def fits(renderer: Renderer, messages: Sequence[Message], ids: Sequence[int]) -> bool:
    """Whether the model's context holds a completion whole, with what it answers."""
    try:
        return len(renderer.prompt(messages)) + len(ids) <= renderer.max_length
    except TemplateError:
        return False


def lengths(traces: Sequence[Trace]) -> dict[str, Any]:
    """What every report says of what was kept: how many, of how many problems, right ones if they were judged,
    and their lengths in tokens."""
    sizes = sorted(len(trace.ids) for trace in traces)
    judged = [trace.correct for trace in traces if trace.correct is not None]
    return {
        "kept": len(traces), "problems": len({trace.id for trace in traces}),
        "kept_correct": None if judged == [] else sum(judged),
        "tokens": sum(sizes), "tokens_mean": fmean(sizes), "tokens_median": sizes[len(sizes) // 2], "tokens_max": sizes[-1],
    }  # fmt: skip


def load_traces(start: Artifact, stage: str) -> list[Trace]:
    """The traces beside the start model. Raises DataError when the stage before made none."""
    path = start.path / TRACES
    if not path.exists():
        raise DataError(
            f"stage {stage} trains on traces, and {start.path} holds none. Put a stage that makes them before it, such as "
            "rejection or rsd."
        )
    try:
        return [_trace(json.loads(line)) for line in path.read_text(encoding="utf-8").splitlines()]
    except (ValueError, KeyError, TypeError) as error:
        raise RunError(f"{path} is damaged ({error}). Delete {start.path} and run again.") from error


def link_model(source: Path, directory: Path) -> None:
    """The files of a model directory in another one: hard links, or copies where links are not to be had."""
    with saving(directory):
        for pattern in HUB_FILES:
            for file in source.glob(pattern):
                target = directory / file.name
                if file.name not in OWN_FILES and not target.exists():
                    link_file(file, target)


def link_file(source: Path, target: Path) -> None:
    """The same file at another place, or a copy where the file system links none."""
    try:
        os.link(source.resolve(), target)
    except OSError:
        shutil.copyfile(source, target)


class Rounds:
    """What a stage has made so far, kept round by round with its ledger, so that a kill loses one round.

    Iterating gives the rows of the rounds before a kill; the run's ledger then stands where it stood.
    problems: that were asked. dearest: operations of one, in the round where they were dearest.
    """

    def __init__(self, run: Run):
        # A checkpoint's directory goes when the artifact is sealed.
        self.run, self.path = run, run.directory / "checkpoint-rounds" / "rounds.jsonl"
        self.count, self.problems, self.dearest = 0, 0, 0.0

    def __iter__(self) -> Iterator[dict[str, Any]]:
        whole, rows = 0, list[dict[str, Any]]()
        data = self.path.read_bytes() if self.path.exists() else b""
        for line in data.split(b"\n")[:-1]:  # what stands after the last end of line was cut by the kill
            found = json.loads(line)
            rows += found["rows"]
            before, self.run.ledger = self.run.ledger.flops, Ledger.from_plain(found["ledger"])
            self._count(found["problems"], before)
            whole += len(line) + 1
        with saving(self.path.parent):
            self.path.parent.mkdir(exist_ok=True)
            with self.path.open("ab") as file:
                file.truncate(whole)
        return iter(rows)

    def add(self, rows: Sequence[Mapping[str, Any]], problems: int, before: float) -> None:
        """Keep the rows of one more round of so many problems, and the ledger after it. before: operations until then."""
        plain = {"rows": rows, "problems": problems, "ledger": self.run.ledger.to_plain()}
        line = json.dumps(plain, ensure_ascii=True) + "\n"
        with saving(self.path.parent), self.path.open("a") as file:
            file.write(line)
        self._count(problems, before)

    def _count(self, problems: int, before: float) -> None:
        self.count, self.problems = self.count + 1, self.problems + problems
        self.dearest = max(self.dearest, (self.run.ledger.flops - before) / problems)


def _plain(trace: Trace) -> dict[str, Any]:
    return {**asdict(trace), "messages": [[m.role, m.content] for m in trace.messages]}


def _trace(row: Mapping[str, Any]) -> Trace:
    messages = tuple(Message(role, content) for role, content in row["messages"])
    return Trace(**{**row, "messages": messages, "ids": tuple(row["ids"])})
