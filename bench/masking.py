"""Next-token prediction against MEAP from nothing: retrieval by depth and length, plain text, arithmetic.

    python bench/masking.py OUT --texts texts.jsonl --held-out held-out.jsonl [--shares 0 0.05 0.1 0.15 0.2] [--seeds 0 1 2]

A decoder of 0.6 million parameters reads records of letters and digits, of which twenty values or one are asked for, notes
among other sentences with three like them, word problems, and plain text. Runs of one seed begin with the same weights and
read the same documents; what is hidden differs, and all have a mask token. All that is finished is kept: the command goes
on where it was ended, and prints the table of what there is. Greedy, test splits.
"""

import argparse
import json
import subprocess
import sys
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np

from whit.core.rundir import write_beside
from whit.core.settings import toml_value
from whit.core.types import Interval
from whit.evaluation.evaluate import Evaluation
from whit.stats.intervals import seed_means
from whit.stats.paired import compare_to_reference

LETTERS = {"name": "key_values", "form": "letters", "reply": "record", "pairs": [3, 8]}
NOTES = {"name": "needle", "sentences": [6, 12], "decoys": 3}
PROBLEMS = {"name": "word_problems", "operations": [1, 1]}
READ = {"name": "mixed", "of": [{**LETTERS, "queries": 20}, LETTERS, NOTES, PROBLEMS]}
ASKED: dict[str, dict[str, Any]] = {
    **{f"records {count}": {**LETTERS, "pairs": [count, count]} for count in (4, 8, 12, 16)},
    "notes 8": {**NOTES, "sentences": [8, 8]},
    "notes 16": {**NOTES, "sentences": [16, 16]},
    "problems": PROBLEMS,
}
ITEMS = 400
RECIPE = """name = "{name}"
seed = {seed}
task = {task}
budget = {{ flops = {flops:g} }}
max_new_tokens = 64
evaluate = {{ split = "dev", items = 50, samples = 1 }}

[[stage]]
kind = "pretrain"
architecture = {{ width = 128, num_layers = 3, num_heads = 4, num_kv_heads = 4, intermediate = 384, max_length = 512 }}
vocab_size = 640
steps = 100000
batch_documents = 16
texts = "{texts}"
text_share = 0.125
text_tokens = 128
optim = {{ lr = 2e-3, schedule = "cosine", warmup = 0.02, weight_decay = 0.0, betas = [0.9, 0.95] }}
transform = {{ name = "meap", share = {share:g} }}
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("--texts", type=Path, required=True)
    parser.add_argument("--held-out", type=Path, required=True)
    parser.add_argument("--shares", type=float, nargs="+", default=[0.0, 0.05, 0.1, 0.15, 0.2])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--flops", type=float, default=9e13)
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    for seed in arguments.seeds:
        for share in arguments.shares:
            run_and_score(arguments, seed, share)
    tell(arguments)


def run_and_score(arguments: argparse.Namespace, seed: int, share: float) -> None:
    """Train one model and write what it scores, unless that is there."""
    name = f"share-{share:g}-seed-{seed}"
    scores = arguments.out / f"{name}.json"
    if scores.exists():
        return
    recipe = arguments.out / f"{name}.toml"
    recipe.write_text(RECIPE.format(
        name=name, seed=seed, task=toml_value(READ), flops=arguments.flops, texts=arguments.texts.resolve(),
        share=share,
    ))  # fmt: skip
    whit("run", recipe.name, cwd=arguments.out)
    record = next(arguments.out.glob(f"runs/{name}-*/run.json"))
    model = json.loads(record.read_text())["model"]
    found: dict[str, Any] = {"model": model}
    for kind, task in ASKED.items():
        spec = toml_value(task)
        asked = ["--items", str(ITEMS), "--samples", "0", "--max-new-tokens", "64", "--json"]
        by = [] if kind == "problems" else ["--by", "depth"]
        found[kind] = json.loads(whit("evaluate", model, "--task", spec, *asked, *by, cwd=arguments.out))
        found[kind]["right"] = right_of(arguments.out / found[kind]["path"] / "completions.jsonl")
    found["text"] = json.loads(
        whit("evaluate", model, "--text", str(arguments.held_out.resolve()), "--json", cwd=arguments.out)
    )
    write_beside(scores, json.dumps(found))
    print(name, {kind: sum(found[kind]["right"].values()) for kind in ASKED}, flush=True)


def right_of(completions: Path) -> dict[str, bool]:
    """Of each item, by its id, whether the greedy completion is right."""
    return {record["id"]: record["correct"] for record in Evaluation.load(completions).records}


def groups_of(out: Path, run: dict[str, Any], kind: str) -> list[str]:
    """The cluster of each item, in the order of `right`: items of one template vary together."""
    records = Evaluation.load(out / run[kind]["path"] / "completions.jsonl").records
    groups = {record["id"]: record["group"] for record in records}
    return [groups[item] for item in run[kind]["right"]]


def whit(*words: str, cwd: Path) -> str:
    command = [str(Path(sys.executable).with_name("whit")), *words]
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"{' '.join(command)}:\n{done.stdout[-2000:]}\n{done.stderr[-2000:]}")
    return done.stdout


def tell(arguments: argparse.Namespace) -> None:
    """The tables of all runs that are finished, in Markdown."""
    found: dict[float, dict[int, Any]] = {}
    for share in arguments.shares:
        for seed in arguments.seeds:
            file = arguments.out / f"share-{share:g}-seed-{seed}.json"
            if file.exists():
                found.setdefault(share, {})[seed] = json.loads(file.read_text())
    print(f"\n{'hidden':>8} | " + " | ".join([*ASKED, "bits/byte"]))
    for share, runs in found.items():
        cells = []
        for kind in ASKED:
            means = {str(share): matrix(runs, kind)}
            groups = groups_of(arguments.out, next(iter(runs.values())), kind)
            shown = seed_means(means, groups)[str(share)] if len(runs) > 1 else None
            cells.append(shown.percent() if shown else f"{100 * means[str(share)].mean():.1f} %")
        bits = [run["text"]["bits_per_byte"]["estimate"] for run in runs.values()]
        print(f"{share:>8g} | " + " | ".join([*cells, f"{fmean(bits):.4f} ({min(bits):.4f} to {max(bits):.4f})"]))
    seeds = {len(runs) for runs in found.values()}
    if 0.0 in found and len(found) > 1 and min(seeds) > 1:
        print("\nagainst nothing hidden, in points, simultaneous over the shares:")
        for kind in ASKED:
            scores = {f"{share:g}": matrix(runs, kind) for share, runs in found.items()}
            groups = groups_of(arguments.out, next(iter(found[0.0].values())), kind)
            rows = compare_to_reference(scores, groups, "0")
            print(f"{kind:>12} | " + " | ".join(f"{row.a}: {points(row.difference)}" for row in rows))
    by_depth(found)


def by_depth(found: dict[float, dict[int, Any]]) -> None:
    """Accuracy in percent over seeds, by tenths of depth in thirds: beginning, middle, end."""
    print("\nby depth, mean over seeds: beginning (to 0.3), middle, end (from 0.7)")
    for kind in ASKED:
        if kind == "problems":
            continue
        for share, runs in found.items():
            thirds: list[list[float]] = [[], [], []]
            for run in runs.values():
                for depth, row in run[kind]["by"]["depth"].items():
                    place = 0 if float(depth) <= 0.3 else 2 if float(depth) >= 0.7 else 1
                    thirds[place] += [row["greedy_accuracy"][0]] * row["num_items"]
            print(f"{kind:>12} | {share:g} | " + " | ".join(f"{100 * fmean(third):.1f}" for third in thirds if third))


def matrix(runs: dict[int, Any], kind: str) -> np.ndarray:
    """[seeds, items] of right and wrong."""
    return np.array([list(run[kind]["right"].values()) for run in runs.values()], dtype=float)


def points(interval: Interval) -> str:
    return f"{100 * interval.estimate:+.1f} [{100 * interval.low:+.1f}, {100 * interval.high:+.1f}]"


if __name__ == "__main__":
    main()
