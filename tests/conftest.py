"""What many tests start from: a tiny model directory, a small task file, and `whit` as a function."""

import json
import signal
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from whit.cli.main import main


@pytest.fixture(scope="session", autouse=True)
def log_of_transformers() -> None:
    """It keeps the stderr that it is imported under: not that of a command line's test, which is closed after it."""
    import transformers.utils.logging

    transformers.utils.logging.get_logger()


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model directory that every stage can start from: two layers, random weights, a byte tokenizer."""
    from whit.testing.tiny import tiny_model

    return tiny_model(tmp_path_factory.mktemp("models") / "tiny")


THINGS = {
    "fruit": ("apple", "pear", "plum", "fig"),
    "tool": ("saw", "axe", "file", "drill"),
    "bird": ("crow", "owl", "wren", "kite"),
}


@pytest.fixture
def things(tmp_path: Path) -> Callable[..., Path]:
    """Writes a user's file: so many texts of three labels, in columns of these names."""

    def write(count: int, text: str, label: str) -> Path:
        rows = [
            {text: f"I have the {THINGS[kind][n // 3 % 4]} of number {n}.", label: kind}
            for n in range(count) for kind in [list(THINGS)[n % 3]]
        ]  # fmt: skip
        path = tmp_path / "things.jsonl"
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
        return path

    return write


@pytest.fixture(scope="session")
def sums(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A task as a user's file: 60 sums with a rationale each, in given splits of 40, 8 and 12."""
    path = tmp_path_factory.mktemp("data") / "sums.jsonl"
    splits = ["train"] * 40 + ["dev"] * 8 + ["test"] * 12
    rows = [
        {
            "prompt": f"{n} + {n + 1}?",
            "answer": str(2 * n + 1),
            "rationale": f"{n} + {n + 1} = {2 * n + 1}.",
            "split": s,
        }
        for n, s in enumerate(splits)
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


@pytest.fixture(scope="session")
def sandbox() -> None:
    """Skips, with the reason, where model-written code cannot be isolated."""
    from whit.core.errors import SandboxError
    from whit.verifiers._sandbox import check_sandbox

    try:
        check_sandbox()
    except SandboxError as error:
        pytest.skip(str(error))


@pytest.fixture
def ends() -> Iterator[None]:
    """Fails a test that has taken 60 s of processor time: what reads a long text in one pass takes a hundredth of that.

    It stops what would never end (a pattern that tries every way again); it measures nothing.
    """

    def stop(*_: object) -> None:
        pytest.fail("60 s of processor time: it does not end")

    before = signal.signal(signal.SIGPROF, stop)
    signal.setitimer(signal.ITIMER_PROF, 60)
    yield
    signal.setitimer(signal.ITIMER_PROF, 0)
    signal.signal(signal.SIGPROF, before)


@dataclass(frozen=True)
class Said:
    """What a command returned and wrote."""

    code: int
    out: str
    err: str

    @property
    def error(self) -> str:
        """Its last paragraph of error as one line, without the traceback that there must not be."""
        assert "Traceback" not in self.err + self.out
        lines = self.err.strip().splitlines()
        first = max((i for i, line in enumerate(lines) if not line.startswith(" ")), default=0)
        return " ".join(line.strip() for line in lines[first:])


@pytest.fixture
def whit(capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Said]:
    """`whit("run", "sft", ...)`, in this process, in an empty directory."""
    monkeypatch.chdir(tmp_path)

    def whit(*arguments: object) -> Said:
        capsys.readouterr()
        code = 0
        try:
            main([str(argument) for argument in arguments])
        except SystemExit as end:
            code = int(end.code or 0)
        captured = capsys.readouterr()
        return Said(code, captured.out, captured.err)

    return whit
