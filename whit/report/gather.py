"""Everything that a report shows, read from directories of studies and runs and from nothing else."""

from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from whit.core.errors import RunError, UsageError
from whit.core.files import made_beside, read_record, read_rows
from whit.core.settings import read_toml

MAX_POINTS = 120  # of a curve
MAX_ITEMS = 400  # whose completions are shown
MAX_CHARACTERS = 4000  # of a completion
CURVES = (
    "cross_entropy",
    "forward_kl",
    "reward",
    "accuracy",
    "entropy",
    "completion_tokens",
    "truncated",
    "equal_groups",
    "compression",
    "selection",
    "gradient_cosine",
    "masked",
)
ONE_VOICE = 0.75  # share of a run's samples of an item that give its answer
AGREED = 2 / 3  # share of the runs that give one and the same answer other than gold

Json = dict[str, Any]


def gather(directory: Path) -> Json:
    """What the page is made of.

    Raises UsageError for a directory that holds no study that was compared, RunError for one of an older whit.
    """
    if not (directory / "leaderboard.json").exists():
        raise UsageError(f"{directory} {_lack(directory)}")
    study, board = read_toml(directory / "study.toml"), read_record(directory / "leaderboard.json")
    if "verdict" not in board or "protocol" not in board:
        raise RunError(f"{directory} was written by an older whit: run its study again, then report.")
    shown = {row["name"] for row in board["rows"]}
    files = {path.parent.name: path for path in sorted(directory.glob("runs/*/run.json"))}
    files = {name: file for name, file in files.items() if pipeline_of(name) in shown}
    return gather_runs(study, board, files, {path.stem: path for path in sorted(directory.glob("arms/*.json"))})


def _lack(directory: Path) -> str:
    if not directory.is_dir():
        return "is no directory. `whit runs` lists the runs and studies that there are."
    if (directory / "recipe.toml").exists():
        return "holds a recipe.toml and no run.json: its run has not ended. Run the same command again."
    if (directory / "study.toml").exists():
        return "holds a study.toml and no leaderboard.json: its study has not ended. Run the same command again."
    return "holds no leaderboard.json and no run.json: give the directory of a study or of a run."


def gather_runs(study: Json, board: Json, files: Mapping[str, Path], arms: Mapping[str, Path]) -> Json:
    """As `gather`, of runs and of arms that train nothing, by the files of their records.

    study, board: what study.toml and leaderboard.json of a study hold.
    """
    runs = {name: read_record(file) for name, file in files.items()}
    untrained = {name: read_record(file) for name, file in arms.items()}
    all_files = {**arms, **files}
    scored = {name: record for name, record in {**untrained, **runs}.items() if record.get("score")}
    completions = {name: _completions(all_files[name], record) for name, record in scored.items()}
    trained = {name: rows for name, rows in completions.items() if name in runs}
    recipes = {name: files[name].with_name("recipe.toml") for name in _first_seeds(runs)}
    return {
        "study": study, "board": board,
        "runs": [_run(name, record) for name, record in runs.items()],
        "curves": [_curves(files[name], name, record) for name, record in runs.items()],
        "costs": _costs({**runs, **untrained}),
        "recipes": {name: file.read_text() for name, file in recipes.items() if file.exists()},
        "suspicious": _suspicious(trained),
        "elsewhere": _elsewhere({**untrained, **runs}),
        "items": _items(completions),
        "missing": sorted(name for name, rows in completions.items() if not rows),
    }  # fmt: skip


def pipeline_of(run: str) -> str:
    """The pipeline of a run's name: "sft-rl" of "sft-rl-seed0"."""
    return run.rpartition("-seed")[0] or run


def _run(name: str, record: Mapping[str, Any]) -> Json:
    score = record["score"] or {}
    return {
        "name": name, "pipeline": pipeline_of(name), "seed": record["seed"], "outcome": record["outcome"],
        "error": record["error"], "accuracy": score.get("accuracy"),
    }  # fmt: skip


def _first_seeds(runs: Mapping[str, Any]) -> list[str]:
    first: dict[str, str] = {}
    for name in runs:
        first.setdefault(pipeline_of(name), name)
    return list(first.values())


def _curves(record_file: Path, name: str, record: Mapping[str, Any]) -> Json:
    stages = []
    for stage in record["stages"]:
        place = made_beside(record_file, stage["path"])
        file = place / "metrics.jsonl" if place else None
        rows = read_rows(file) if file and file.exists() and file.stat().st_size else []
        stages.append(
            {"kind": stage["kind"], "curves": {key: _points(rows, key) for key in CURVES if _points(rows, key)}}
        )
    if stages and (stopped := record.get("stopped")):
        for key, by_share in (("dev_accuracy", stopped["dev"]), ("dev_strict", stopped.get("dev_strict"))):
            if by_share:
                stages[-1]["curves"][key] = sorted((float(share), value) for share, value in by_share.items())
    return {"name": name, "pipeline": pipeline_of(name), "seed": record["seed"], "stages": stages}


def _points(rows: list[Json], key: str) -> list[tuple[float, float]]:
    """(progress, value), thinned by means over neighbours."""
    values = [(float(row["progress"]), float(row[key])) for row in rows if isinstance(row.get(key), int | float)]
    width = -(-len(values) // MAX_POINTS) or 1
    cut = [values[start : start + width] for start in range(0, len(values), width)]
    return [
        (round(sum(x for x, _ in part) / len(part), 4), round(sum(y for _, y in part) / len(part), 5)) for part in cut
    ]


def _costs(records: Mapping[str, Any]) -> list[Json]:
    """Of one run of each pipeline, by purpose, the mean over seeds; of an arm that trains nothing, what asking it took."""
    totals: dict[str, dict[str, Counter[str]]] = {}
    for name, record in records.items():
        accounts = [stage["accounts"] for stage in record.get("stages", ())]
        if record.get("lost", {}).get("flops"):
            accounts.append({"lost": record["lost"]})
        if record.get("evaluation"):
            accounts.append(record["evaluation"]["accounts"])
        purposes = totals.setdefault(pipeline_of(name), {})
        for account in accounts:
            for purpose, spent in account.items():
                purposes.setdefault(purpose, Counter()).update(spent)
    count = Counter(pipeline_of(name) for name in records)
    return [
        {
            "pipeline": pipeline,
            "purposes": {
                purpose: {key: value / count[pipeline] for key, value in spent.items()}
                for purpose, spent in purposes.items()
            },
        }
        for pipeline, purposes in totals.items()
    ]


def _elsewhere(records: Mapping[str, Any]) -> list[Json]:
    """Of each pipeline, and of the untrained model, the mean over seeds."""
    found: dict[str, list[Json]] = {}
    for name, record in records.items():
        if record.get("elsewhere"):
            found.setdefault(pipeline_of(name), []).append(record["elsewhere"])
    return [
        {
            "name": name,
            "bits_per_byte": sum(row["bits_per_byte"] for row in rows) / len(rows),
            "instructions": sum(row["instructions"][0] for row in rows) / len(rows),
            "of": len(rows[0]["answers"]),
        }
        for name, rows in found.items()
    ]


def _completions(record_file: Path, record: Mapping[str, Any]) -> list[Json]:
    place = made_beside(record_file, record["score_path"])
    file = place / "completions.jsonl" if place else None
    return read_rows(file) if file and file.exists() else []


def _suspicious(trained: Mapping[str, list[Json]]) -> list[Json]:
    """Items on which most runs give one and the same answer, and it is not gold: the gold may be wrong."""
    votes: dict[str, Counter[str]] = {}
    about: dict[str, Json] = {}
    for rows in trained.values():
        answers: dict[str, Counter[str]] = {}
        for row in rows:
            about.setdefault(row["id"], row)
            answers.setdefault(row["id"], Counter())[_marked(row)] += 1
        for item, counted in answers.items():
            answer, count = counted.most_common(1)[0]
            if count >= ONE_VOICE * counted.total():
                votes.setdefault(item, Counter())[answer] += 1
    found = []
    for item, counted in votes.items():
        answer, count = counted.most_common(1)[0]
        if answer.startswith("wrong:") and count >= AGREED * len(trained) and len(trained) > 1:
            row = about[item]
            found.append({
                "id": item, "prompt": row["prompt"], "gold": row["gold"], "answer": answer.removeprefix("wrong:"),
                "runs": count, "of": len(trained),
            })  # fmt: skip
    return sorted(found, key=lambda row: -row["runs"])


def _marked(row: Mapping[str, Any]) -> str:
    """Whether and what a completion answers; one without an answer is neither right nor wrong here."""
    if row["answer"] is None:
        return "none:"
    return f"{'right' if row['correct'] else 'wrong'}:{row['answer']}"


def _items(completions: Mapping[str, list[Json]]) -> list[Json]:
    """Prompts with one completion of each run: the greedy one where there is one."""
    items: dict[str, Json] = {}
    for name, rows in completions.items():
        for row in rows:
            item = items.setdefault(
                row["id"], {"id": row["id"], "prompt": row["prompt"], "gold": row["gold"], "by": {}}
            )
            if row["greedy"] or name not in item["by"]:
                item["by"][name] = {
                    "text": row["completion"][:MAX_CHARACTERS], "correct": row["correct"], "strict": row["strict"],
                    "answer": row["answer"], "truncated": row["truncated"], "tokens": row["num_tokens"],
                }  # fmt: skip
    return list(items.values())[:MAX_ITEMS]
