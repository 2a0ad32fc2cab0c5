"""What a model writes about a task's examples, as rows of a file: the texts that another model may be distilled from."""

import fcntl
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

from whit.core.errors import DataError
from whit.core.ledger import Ledger
from whit.core.rundir import saving
from whit.core.types import Ask, Completion, Example, Group
from whit.data.render import Renderer
from whit.generation.engine import Engine
from whit.generation.sampler import Sampling
from whit.rewards.accuracy import accuracy
from whit.rollouts.collect import collect

ROUND = 64  # examples asked between two writes: what a kill can lose
Row = dict[str, Any]
Write = Callable[[list[Example]], list[list[Row] | None]]
"""The rows of each example, as many as samples are asked for; None for one that could not be answered."""


def write_texts(
    path: Path, examples: Sequence[Example], engine: Engine, renderer: Renderer, ask: Ask, *,
    made_by: Mapping[str, Any], num_samples: int, sampling: Sampling, seed: int, ledger: Ledger,
    notify: Callable[[int], None],
) -> list[Row]:  # fmt: skip
    """Append the completions of `examples` to the JSONL file `path`, and return the rows of these examples.

    Right and wrong ones are kept, each with what the verifier said of it, how it finished and what it cost (a share of its
    prompt included). Examples that the file holds already are not asked again, so a run that was killed goes on. Sampling
    is charged to the ledger.
    made_by: written into every row beside seed and sampling, such as the model and its template.
    notify: told the number of examples that are done.
    Raises DataError when the file holds anything but rows that were made in this way, and leaves it as it is.
    """

    def write(asked: list[Example]) -> list[list[Row] | None]:
        groups = collect(
            engine, renderer, asked, ask, accuracy, num_samples=num_samples, sampling=sampling, seed=seed, ledger=ledger
        )
        return [_rows(group, engine) for group in groups]

    return fill(
        path, examples, write, made_by=made_by, num_samples=num_samples, sampling=sampling, seed=seed, round_size=ROUND,
        notify=notify,
    )  # fmt: skip


def fill(
    path: Path, examples: Sequence[Example], write: Write, *, made_by: Mapping[str, Any], num_samples: int,
    sampling: Sampling, seed: int, round_size: int, notify: Callable[[int], None],
) -> list[Row]:  # fmt: skip
    """`write_texts` for anything that writes: the file holds what `write` returns, a round of examples at a time.

    An example for which it returns None stays away, and is asked when the same file is filled again.
    """
    settings = {**made_by, "seed": seed, "temperature": sampling.temperature, "top_p": sampling.top_p,
                "max_new_tokens": sampling.max_new_tokens, "samples": num_samples}  # fmt: skip
    with _opened(path) as file:
        written, end = _whole_groups(path, file.read(), settings, num_samples)
        file.truncate(end)
        done = {(row["id"], row["prompt"]) for row in written}
        left = [example for example in examples if (example.id, example.prompt) not in done]
        for start in range(0, len(left), round_size):
            notify(len(examples) - len(left) + start)
            answered = [rows for rows in write(left[start : start + round_size]) if rows is not None]
            new = [{**row, **settings} for rows in answered for row in rows]
            with saving(path.parent):
                file.seek(0, 2)
                # A lone surrogate cannot be UTF-8; "backslashreplace" writes its JSON escape.
                lines = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in new)
                file.write(lines.encode("utf-8", "backslashreplace"))
                file.flush()
            written += new
    wanted = {(example.id, example.prompt) for example in examples}
    return [row for row in written if (row["id"], row["prompt"]) in wanted]


@contextmanager
def _opened(path: Path) -> Iterator[BinaryIO]:
    """The file, made where there is none, for this process alone. Raises DataError when another one is writing it."""
    with saving(path.parent):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
        file = path.open("r+b")
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise DataError(
                f"{path}: another process is writing this file. Wait for it, or name another file."
            ) from None
        yield file


def _whole_groups(path: Path, data: bytes, settings: Mapping[str, Any], num_samples: int) -> tuple[list[Row], int]:
    """The rows of examples whose samples are all there, and how many bytes of the file they are.

    What comes after them is what a kill left of a write. Raises DataError for anything else.
    """
    *lines, tail = data.split(b"\n")
    rows = [_own(path, number, line, settings) for number, line in enumerate(lines, 1)]
    if tail and not rows and not tail.startswith(b'{"id": '):
        raise DataError(f"{path} holds something else: name another file.")
    count = len(rows) - len(rows) % num_samples
    return rows[:count], sum(len(line) + 1 for line in lines[:count])


def _own(path: Path, number: int, line: bytes, settings: Mapping[str, Any]) -> Row:
    try:
        row = json.loads(line)
    except ValueError:
        row = None
    if not isinstance(row, dict) or not row.keys() >= settings.keys():
        raise DataError(f"{path}, row {number} is none that was written here: name another file.")
    if other := {name: row[name] for name, value in settings.items() if row[name] != value}:
        now = {name: settings[name] for name in other}
        raise DataError(
            f"{path}, row {number} was made with {_words(other)}, and now it is {_words(now)}. Name another file, or give "
            "the same settings."
        )
    return row


def _rows(group: Group, engine: Engine) -> list[Row]:
    prompt = group.rollouts[0].segments[0].ids
    written = [Completion(rollout.segments[-1].ids, (), rollout.finish) for rollout in group.rollouts]
    flops, _ = engine.flops([prompt], [written])
    return [
        {"id": group.example.id, "prompt": group.example.prompt, "completion": rollout.text,
         "correct": rollout.verdict.correct, "strict": rollout.verdict.strict, "finish": rollout.finish,
         "tokens": len(completion.ids), "flops": flops / len(written)}
        for rollout, completion in zip(group.rollouts, written, strict=True)
    ]  # fmt: skip


def _words(settings: Mapping[str, Any]) -> str:
    return ", ".join(f"{name} {value}" for name, value in settings.items())
