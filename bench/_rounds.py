"""Two sides of a comparison, each in a process of its own, in turn: A B A B ...; medians, spread, ratio, record.

A bench is a file that gives `compare` its sides: functions from settings to figures. `python bench/sft.py` runs them all in
turn; `--side whit` runs one of them here and prints its figures as JSON. The peer's side runs under $WHIT_PEERS, a python
that has the peer installed (`make peers`), or under this one.
"""

import argparse
import json
import os
import platform
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

Figures = dict[str, Any]
Side = Callable[[argparse.Namespace], Figures]
RESULTS = Path(__file__).parent / "results"
FEWEST = 5  # rounds of a figure that is kept


def compare(
    name: str, sides: Mapping[str, Side], *, figure: str, guard: Sequence[str] = (), peers: Sequence[str] = (),
    options: Callable[[argparse.ArgumentParser], None] = lambda parser: None, variant: str = "",
    aims: Mapping[str, tuple[float, float]] | None = None,
) -> None:  # fmt: skip
    """Run the bench `name` as the command line says.

    figure: what the ratio is of, the first side over the others; more is better. guard: figures of quality, which have to
    agree and are printed. peers: packages whose versions are printed. variant: an option whose value makes another bench.
    aims: by peer, the least ratio that is wanted, and the most memory, as a share of the peer's (0: none is set);
        "peer-value" for one value of the variant.
    """
    parser = argparse.ArgumentParser(description=name)
    parser.add_argument("--side", choices=sorted(sides))
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--sides", nargs="*", choices=list(sides), default=list(sides), help="those to run")
    parser.add_argument("--json", type=Path, help="where to put the figures as well")
    options(parser)
    arguments = parser.parse_args()
    if arguments.side:
        import torch

        torch.set_num_threads(arguments.threads)
        figures = sides[arguments.side](arguments)
        print(json.dumps({"peak_bytes": peak_bytes(), **figures}))  # a side whose guard needs memory says its own
        return
    chosen = [side for side in sides if side in arguments.sides]
    rounds = [{side: _run(side, arguments.threads) for side in chosen} for _ in range(arguments.rounds)]
    usual = vars(parser.parse_args([]))
    wanted = dict(aims or {})
    if variant:
        value = vars(arguments)[variant]
        name = f"{name}-{value}"
        wanted |= {side: wanted[f"{side}-{value}"] for side in sides if f"{side}-{value}" in wanted}
    told = _summary(name, chosen, rounds, figure, guard, peers, wanted)
    print(told["table"])
    if arguments.json:
        arguments.json.write_text(json.dumps({key: value for key, value in told.items() if key != "table"}, indent=1))
    free = {"rounds", "sides", "json", variant}
    changed = sorted(key for key, value in vars(arguments).items() if key not in free and value != usual[key])
    if changed or arguments.rounds < FEWEST:
        reason = f"other settings: {', '.join(changed)}" if changed else f"fewer than {FEWEST} rounds"
        print(f"  not held against the record of this machine ({reason})")
    else:
        print(_against_record(name, told, figure))


def peak_bytes() -> int:
    """The most memory that this process held."""
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def product_rate(size: int = 4096, times: int = 3) -> float:
    """Operations a second of a bfloat16 product of square matrices: what this processor reaches at its best."""
    import torch

    a, b = torch.randn(2, size, size).bfloat16().unbind()
    seconds = []
    for _ in range(times):
        started = time.perf_counter()
        a @ b
        seconds.append(time.perf_counter() - started)
    return 2 * size**3 / min(seconds)


def read_rate(size: int = 1 << 30, times: int = 3) -> float:
    """Bytes a second that this process reads from memory, at its best: in order, and from large pages if there are any."""
    import mmap

    import torch

    memory = mmap.mmap(-1, size)
    if hasattr(mmap, "MADV_HUGEPAGE"):
        memory.madvise(mmap.MADV_HUGEPAGE)
    block = torch.frombuffer(memory, dtype=torch.int64).fill_(1)
    seconds = []
    for _ in range(times):
        started = time.perf_counter()
        block.sum()
        seconds.append(time.perf_counter() - started)
    return size / min(seconds)


def machine() -> dict[str, Any]:
    """What a figure of this machine depends on."""
    import torch

    from whit.kernels.build import library
    from whit.models.prepack import has_bfloat16_products

    cpu = next((line.partition(":")[2].strip() for line in _cpuinfo() if line.startswith("model name")), "")
    amx = any("amx_bf16" in line for line in _cpuinfo() if line.startswith("flags"))
    return {
        "cpu": cpu or platform.processor(), "cores": os.cpu_count(), "bf16_products": has_bfloat16_products(), "amx": amx,
        "compiled_operators": library() is not None,
        "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
    }  # fmt: skip


def _cpuinfo() -> list[str]:
    path = Path("/proc/cpuinfo")
    return path.read_text().splitlines() if path.exists() else []


def _run(side: str, threads: int) -> Figures:
    """One run of a side, in a process with as many threads as it may use."""
    python = os.environ.get("WHIT_PEERS", sys.executable) if side != "whit" else sys.executable
    root = Path(__file__).parent.parent
    environment = {**os.environ, "OMP_NUM_THREADS": str(threads), "PYTHONPATH": str(root)}
    done = subprocess.run(
        [python, *sys.argv, "--side", side], capture_output=True, text=True, env=environment, check=False
    )
    if done.returncode:
        sys.exit(f"{side} failed:\n{done.stderr[-3000:]}")
    figures: Figures = json.loads(done.stdout.strip().splitlines()[-1])
    print(f"{side}: {figures}", file=sys.stderr, flush=True)
    return figures


def _summary(
    name: str, sides: Sequence[str], rounds: Sequence[Mapping[str, Figures]], figure: str, guard: Sequence[str],
    peers: Sequence[str], aims: Mapping[str, tuple[float, float]],
) -> Figures:  # fmt: skip
    first = sides[0]
    lines = [f"{name}, {len(rounds)} rounds in turn, medians [least, most]"]
    medians: dict[str, dict[str, float]] = {}
    for side in sides:
        medians[side] = {}
        shown = []
        for key in rounds[0][side]:
            values = [round_[side][key] for round_ in rounds]
            medians[side][key] = statistics.median(values)
            shown.append(f"{key} {medians[side][key]:,.4g} [{min(values):,.4g}, {max(values):,.4g}]")
        lines += [f"  {side:<14} {shown[0]}", *(f"{'':<17}{text}" for text in shown[1:])]
    outcomes: list[Figures] = []
    for side in sides[1:]:
        ratios = [round_[first][figure] / round_[side][figure] for round_ in rounds]
        memory = medians[first]["peak_bytes"] / medians[side]["peak_bytes"]
        lines.append(
            f"  {first} / {side}: {figure} {statistics.median(ratios):.2f} [{min(ratios):.2f}, {max(ratios):.2f}], "
            f"peak memory {memory:.2f}"
        )
        least, most = aims.get(side, (0.0, 0.0))
        outcomes.append({
            "peer": side, "figure": figure, "ratio": statistics.median(ratios), "low": min(ratios), "high": max(ratios),
            "memory": memory, "least": least, "most": most,
            "is_met": statistics.median(ratios) >= least and (not most or memory <= most),
        })  # fmt: skip
        for key in guard:
            lines.append(f"  guard: {key} {medians[first][key]:.4f} against {medians[side][key]:.4f}")
    versions = {package: _version(package) for package in ("torch", "transformers", *peers)}
    lines.append("  " + ", ".join(f"{package} {number}" for package, number in versions.items()))
    lines.append("  " + ", ".join(f"{key}: {value}" for key, value in machine().items()))
    return {"name": name, "table": "\n".join(lines), "outcomes": outcomes, "medians": medians, "rounds": list(rounds),
            "versions": versions, "machine": machine(), "command": _command()}  # fmt: skip


def _command() -> str:
    """What was called, from the root of the project, without the place for a copy of the figures."""
    parts = list(sys.argv[1:])
    if "--json" in parts:
        place = parts.index("--json")
        del parts[place : place + 2]
    return " ".join(["python", f"bench/{Path(sys.argv[0]).name}", *parts])


def _version(package: str) -> str:
    python = os.environ.get("WHIT_PEERS", sys.executable)
    try:
        return version(package)
    except PackageNotFoundError:
        code = f"from importlib.metadata import version; print(version('{package}'))"
        done = subprocess.run([python, "-c", code], capture_output=True, text=True, check=False)
        return done.stdout.strip() or "not installed"


def _against_record(name: str, told: Figures, figure: str) -> str:
    """Keep the best run of this machine, and say how this one stands to it."""
    label = f"{told['machine']['cores']}x-{told['machine']['cpu'] or 'cpu'}".replace(" ", "-").lower()
    file = RESULTS / (told["machine"]["gpu"] or label).replace(" ", "-").lower() / f"{name}.json"
    mine = next(iter(told["medians"].values()))[figure]
    record = json.loads(file.read_text()) if file.exists() else None
    best = next(iter(record["medians"].values()))[figure] if record else 0.0
    if mine > best:
        file.parent.mkdir(parents=True, exist_ok=True)
        kept = {key: value for key, value in told.items() if key != "table"}
        file.write_text(json.dumps({**kept, "commit": _commit()}, indent=1) + "\n")
    if not record:
        return f"  kept as the record of this machine: {file}"
    return f"  against the record ({best:,.4g}, commit {record['commit']}): {mine / best:.2f}"


def _commit() -> str:
    done = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False)
    return done.stdout.strip()
