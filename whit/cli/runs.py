"""`whit runs`: what is in the directory of runs; `whit runs why A [B]`: why two artifacts have different keys."""

import time
from pathlib import Path
from typing import Annotated, Any

import typer

from whit.cli._options import RUNS, Json, Runs
from whit.cli._show import as_json, say
from whit.core.words import duration, outcome_words, plural, wrapped


def runs(
    action: Annotated[str | None, typer.Argument(help="why: what differs between two artifacts")] = None,
    first: Annotated[str | None, typer.Argument(help="Name or key of an artifact, or the key's beginning.")] = None,
    second: Annotated[str | None, typer.Argument(help="The other; default: the newest of the same stage.")] = None,
    everything: Annotated[bool, typer.Option("--all", help="Artifacts too: what stages and scorings made.")] = False,
    runs: Runs = RUNS,
    json: Json = False,
) -> None:
    """List studies and runs, or say why a key changed."""
    from whit.core.errors import UsageError

    if action is None:
        _list(runs, everything, json)
    elif action == "why" and first is not None:
        _why(runs, first, second, json)
    else:
        raise UsageError("write `whit runs`, or `whit runs why KEY [KEY]`.")


def _list(root: Path, everything: bool, json: bool) -> None:
    from whit.core.ledger import Ledger
    from whit.core.rundir import Store
    from whit.core.types import Interval

    studies = [_study(path.parent) for path in _oldest_first(root.glob("*/study.toml"))]
    recorded = [_run(path.parent) for path in _oldest_first(root.glob("*/recipe.toml"))]
    artifacts = {artifact: artifact.facts() for artifact in Store(root / "artifacts").all()}
    if json:
        as_json({"studies": studies, "runs": recorded, "artifacts": {a.key: row for a, row in artifacts.items()}})
        return
    for row in [*studies, *recorded]:
        accuracy = Interval(*row["accuracy"]).percent() if row["accuracy"] else ""
        say(f"{row['name']:<34} {accuracy:>23} {_date(row['time'])}")
        outcome = "" if row["outcome"] == "finished" else f"; {outcome_words(row['outcome'])}"
        about = f"{', '.join(row['pipelines'])}: {row['model']} on {row['task']}{outcome}"
        say(wrapped(about, first="    ", rest="    "))
    for artifact, record in artifacts.items() if everything else ():
        ledger = Ledger.from_plain(record["ledger"])
        cost = f"seed {record['facts']['seed']}  {ledger.flops:9.3g} FLOPs  {duration(ledger.seconds):>7}"
        made = (artifact.path / "artifact.json").stat().st_mtime
        say(f"{artifact.path.name:<27} {cost}  {_date(made)}")
    within = f" of {plural(sum(row['runs'] for row in studies), 'run')}" if studies else ""
    there = f"{plural(len(studies), 'study', 'studies')}{within} and {plural(len(recorded), 'single run')} in {root}"
    hidden = f"; {plural(len(artifacts), 'artifact')}" + ("" if everything else " (--all lists them)")
    say(there + (hidden if artifacts else ""))


def _why(root: Path, first: str, second: str | None, json: bool) -> None:
    from whit.core.errors import UsageError
    from whit.core.rundir import Store, differences

    artifacts = Store(root / "artifacts").all()

    def pick(name: str) -> Any:
        key = Path(name).name.rpartition("-")[2]
        found = [a for a in artifacts if a.key.startswith(key)]
        if len(found) != 1:
            raise UsageError(f"{len(found)} artifacts have a key that begins with '{key}'. `whit runs` lists them.")
        return found[0]

    old = pick(first)
    stage = old.facts()["facts"]["stage"]
    others = [a for a in artifacts if a.facts()["facts"]["stage"] == stage and a.key != old.key]
    if second is None and not others:
        raise UsageError(f"there is no other artifact of the stage '{stage}' to compare with.")
    new = others[-1] if second is None else pick(second)
    reason = f"the second is the newest of {plural(len(others), 'other artifact')} of the stage '{stage}'"
    reason = reason if second is None else "both were named"
    changes = differences(old.facts()["facts"], new.facts()["facts"])
    if json:
        as_json({"old": old.key, "new": new.key, "reason": reason, "changes": changes})
        return
    say(f"{old.path.name} -> {new.path.name}")
    say(f"({reason})")
    for line in changes or ["nothing differs"]:
        say(line)


def _study(directory: Path) -> dict[str, Any]:
    from whit.core.files import read_record
    from whit.core.settings import read_toml

    study = read_toml(directory / "study.toml")
    facts = {
        **_what(directory, study, "study.toml"), "outcome": "not ended", "accuracy": None,
        "pipelines": [pipeline["name"] for pipeline in study.get("pipeline", ())],
        "runs": len(list(directory.glob("runs/*/run.json"))),
    }  # fmt: skip
    if not (directory / "leaderboard.json").exists():
        return facts
    board = read_record(directory / "leaderboard.json")
    best = next((row for row in board["rows"] if row["name"] == board["best"]), None)
    accuracy = [best["accuracy"][key] for key in ("estimate", "low", "high")] if best else None
    outcome = f"best {board['best']}" if board["complete"] else "incomplete"
    return {**facts, **_what(directory, study, "leaderboard.json"), "outcome": outcome, "accuracy": accuracy}


def _run(directory: Path) -> dict[str, Any]:
    from whit.core.files import read_record
    from whit.core.settings import read_toml

    recipe = read_toml(directory / "recipe.toml")
    pipelines = [str(recipe.get("name", directory.name))]
    if not (directory / "run.json").exists():
        facts = _what(directory, recipe, "recipe.toml")
        return {**facts, "pipelines": pipelines, "outcome": "not ended", "accuracy": None}
    record = read_record(directory / "run.json")
    accuracy = record["score"]["accuracy"] if record["score"] else None
    facts = _what(directory, recipe, "run.json")
    return {**facts, "pipelines": pipelines, "outcome": record["outcome"], "accuracy": accuracy}


def _what(directory: Path, tree: dict[str, Any], record: str) -> dict[str, Any]:
    task = tree.get("task", "no task")
    return {
        "name": directory.name, "model": Path(tree.get("model", "nothing")).name,
        "task": Path(task if isinstance(task, str) else task["name"]).name,
        "time": (directory / record).stat().st_mtime,
    }  # fmt: skip


def _oldest_first(paths: Any) -> list[Path]:
    return sorted(paths, key=lambda path: path.stat().st_mtime)


def _date(seconds: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M", time.localtime(seconds))
