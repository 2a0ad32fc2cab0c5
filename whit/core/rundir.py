"""Where things are kept: immutable artifacts by content key, and the directory in which a stage works.

An artifact is written beside its place and renamed, so a killed run leaves no half artifact; what it leaves is the
`.partial` directory with its last checkpoint, where the next run of the same key goes on.
"""

import ast
import fcntl
import hashlib
import importlib.util
import json
import os
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cache
from io import TextIOWrapper
from pathlib import Path
from typing import Any

from whit.core.errors import RunError, WhitError
from whit.core.ledger import Ledger
from whit.core.types import Artifact

Notify = Callable[[dict[str, Any]], None]


def silent(_: dict[str, Any]) -> None:
    """Progress that nobody watches."""


@dataclass(frozen=True)
class Facts:
    """Everything that an artifact's content depends on; its hash is the key."""

    stage: str
    settings: Mapping[str, Any]
    inputs: Mapping[str, str]
    seed: int
    limit_flops: float | None
    code: str
    dtype: str
    device: str
    torch: str

    def key(self) -> str:
        return hashlib.sha256(json.dumps(vars(self), sort_keys=True, default=str).encode()).hexdigest()[:16]


@dataclass
class Run:
    """What the system supplies to a stage: where to work, what may be spent, and the recipe's shared values.

    task, teacher: as the recipe names them; a stage resolves them. notify: receives progress, for the terminal.
    lr_factor: what the stage's peak learning rate is multiplied with. compile: try to compile the layers.
    snapshots: shares of the stage's progress, ascending, at which its weights are kept beside the last ones.
    number: of the stage in its recipe, which errors name.
    """

    directory: Path
    facts: Facts
    ledger: Ledger
    task: Any = None
    teacher: Any = None
    template: str | None = None
    max_new_tokens: int = 256
    dtype: str = "float32"
    device: str = "cpu"
    notify: Notify = silent
    checkpoint_seconds: float = 10.0
    snapshots: tuple[float, ...] = ()
    lr_factor: float = 1.0
    compile: bool = False
    number: int = 1

    @property
    def where(self) -> str:
        """The stage as a recipe's overrides name it."""
        return f"stage.{self.number}"

    @property
    def seed(self) -> int:
        return self.facts.seed

    def save(self, write: Callable[[Path], None], **outcome: Any) -> Artifact:
        """Finish the stage: `write` puts the model into the directory, and the directory becomes the artifact."""
        with saving(self.directory):
            write(self.directory)
        record = {"facts": vars(self.facts), "ledger": self.ledger.to_plain(), "outcome": outcome}
        return Store(self.directory.parent).seal(self.directory, record)


def snapshot(artifact: Path, share: float) -> Path:
    """Where a stage keeps its weights of an earlier time."""
    return artifact / f"snapshot-{share:g}"


class Store:
    """The artifacts under one directory."""

    def __init__(self, root: Path):
        self.root = root

    def find(self, key: str) -> Artifact | None:
        """The finished artifact of this key."""
        for path in self.root.glob(f"*-{key}"):
            if (path / "artifact.json").exists():
                return Artifact(path, key)
        return None

    def all(self) -> list[Artifact]:
        """Every finished artifact, oldest first."""
        records = sorted(self.root.glob("*/artifact.json"), key=lambda p: p.stat().st_mtime)
        return [
            Artifact(p.parent, p.parent.name.rpartition("-")[2])
            for p in records
            if not p.parent.name.endswith(".partial")
        ]

    def partial(self, facts: Facts) -> Path:
        """Where the artifact of a key is made."""
        label = facts.stage.rpartition(":")[2]  # a stage of one's own is named path/to/file.py:function
        return self.root / f"{label}-{facts.key()}.partial"

    @contextmanager
    def workplace(self, facts: Facts) -> Iterator[Path]:
        """The partial directory of a key, locked: a second process that wants the same artifact waits here."""
        partial = self.partial(facts)
        with saving(self.root):
            self.root.mkdir(parents=True, exist_ok=True)
            lock = _locked(self.root / f".{facts.key()}.lock")
        with lock:
            try:
                with saving(partial):
                    partial.mkdir(exist_ok=True)
                yield partial
            finally:
                with suppress(OSError):
                    if not any(file.is_dir() or file.stat().st_size for file in partial.iterdir()):
                        shutil.rmtree(partial)  # nothing was put into it
                os.unlink(lock.name)

    def seal(self, partial: Path, record: Mapping[str, Any]) -> Artifact:
        """Write the record and rename: from here on the artifact exists."""
        for checkpoint in partial.glob("checkpoint*"):
            shutil.rmtree(checkpoint, ignore_errors=True)
        with saving(partial):
            (partial / "artifact.json").write_text(json.dumps(record, indent=1, sort_keys=True, default=str))
            final = partial.with_suffix("")
            if final.exists():
                shutil.rmtree(final)
            partial.rename(final)
        return Artifact(final, final.name.rpartition("-")[2])


def read_metrics(path: Path) -> list[dict[str, Any]]:
    """The lines of a `metrics.jsonl`, one a step; none where no step was made. What a kill cut in two is left out."""
    lines: list[dict[str, Any]] = []
    for line in path.read_text().splitlines() if path.exists() else []:
        with suppress(ValueError):
            lines.append(json.loads(line))
    return lines


@contextmanager
def saving(where: Path) -> Iterator[None]:
    """Turns an operating-system error while writing (disk full, no permission) into one that says what to do."""
    try:
        yield
    except Exception as error:
        # safetensors and tokenizers wrap what the system says in errors of their own: "... (os error 28)"
        if isinstance(error, WhitError) or not (isinstance(error, OSError) or "os error" in str(error)):
            raise
        reason = getattr(error, "strerror", None) or error
        raise RunError(
            f"could not write under {where}: {reason}. What was finished before is kept: "
            "make room or choose another directory (--runs DIR), then run the same command again."
        ) from error


def _locked(path: Path) -> TextIOWrapper:
    """The file, open and locked. Whoever had the lock before removes the file, so what was locked may be gone."""
    while True:
        lock = path.open("w")
        fcntl.flock(lock, fcntl.LOCK_EX)
        with suppress(FileNotFoundError):
            if os.path.samestat(os.fstat(lock.fileno()), path.stat()):
                return lock
        lock.close()


def write_beside(path: Path, text: str) -> None:
    """Replace a file in one step: a reader sees the old content or the new one."""
    with saving(path.parent):
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_name(path.name + ".part")
        temporary.write_text(text)
        temporary.replace(path)


def differences(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
    """Why two keys differ: a line for each fact that changed, nested settings by their dotted name."""
    lines: list[str] = []
    flat_old, flat_new = dict(_flat(old)), dict(_flat(new))
    for name in sorted(flat_old.keys() | flat_new.keys()):
        before, after = flat_old.get(name, "(not set)"), flat_new.get(name, "(not set)")
        if before != after:
            lines.append(f"{name}: {before} -> {after}")
    return lines


def digest_of(path: Path) -> str:
    """A hash of a model directory or a file: of its content, remembered by path, size and time of change."""
    if path.is_dir() and (path / "artifact.json").exists():
        return path.name.rpartition("-")[2]
    files = sorted(p for p in path.rglob("*") if p.is_file()) if path.is_dir() else [path]
    return _digest(tuple((str(p), p.stat().st_size, p.stat().st_mtime_ns) for p in files))


def code_digest(modules: Iterable[str]) -> str:
    """A hash of the source of these whit modules, of the C++ beside them, and of everything in whit that they import."""
    sources: dict[str, str] = {}
    waiting = list(modules)
    while waiting:
        module = waiting.pop()
        if module in sources:
            continue
        source, imported = _imports(module)
        sources[module] = source
        waiting += imported
    return hashlib.sha256("".join(f"{m}:{sources[m]}" for m in sorted(sources)).encode()).hexdigest()[:16]


@cache
def _imports(module: str) -> tuple[str, tuple[str, ...]]:
    beside = ""
    if module.endswith(".py"):
        source = Path(module).read_text()
    else:
        try:
            spec = importlib.util.find_spec(module)
        except ModuleNotFoundError:
            spec = None
        if spec is None or not spec.origin or not spec.origin.endswith(".py"):
            return "", ()
        source = Path(spec.origin).read_text()
        files = sorted(Path(spec.origin).parent.iterdir())
        beside = "".join(path.read_text() for path in files if path.suffix in (".cpp", ".h"))
    found: list[str] = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("whit"):
            found.append(node.module)
            found += [f"{node.module}.{alias.name}" for alias in node.names if node.module.count(".") < 2]
        elif isinstance(node, ast.Import):
            found += [alias.name for alias in node.names if alias.name.startswith("whit")]
    return hashlib.sha256((source + beside).encode()).hexdigest(), tuple(found)


@cache
def _digest(files: tuple[tuple[str, int, int], ...]) -> str:
    total = hashlib.sha256()
    for name, _, _ in files:
        total.update(Path(name).name.encode())
        with open(name, "rb") as stream:
            while block := stream.read(1 << 22):
                total.update(block)
    return total.hexdigest()[:16]


def _flat(tree: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    if isinstance(tree, Mapping) and tree:
        for key, value in tree.items():
            yield from _flat(value, f"{prefix}{key}.")
    elif isinstance(tree, list) and any(isinstance(item, Mapping) for item in tree):
        for index, value in enumerate(tree, 1):
            yield from _flat(value, f"{prefix}{index}.")
    else:
        yield prefix.rstrip("."), tree
