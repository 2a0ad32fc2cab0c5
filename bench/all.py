"""Every bench that this machine can run, one after the other, and one table of what came out.

    python bench/all.py [sft grpo ...] [--rounds 5] [--out bench-results.json]

A bench whose peer is not installed is left out with the reason. Nothing else should run meanwhile.
"""

import argparse
import importlib.util
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
# Name, file, arguments, and the package that has the peer.
BENCHES: tuple[tuple[str, str, list[str], str], ...] = (
    ("sft", "sft.py", [], "trl"),
    ("grpo", "grpo.py", [], "trl"),
    ("decode-32", "decode.py", ["--rows", "32", "--sides", "whit", "transformers"], "transformers"),
    ("decode-16", "decode.py", ["--rows", "16", "--sides", "whit", "llama_cpp"], "llama_cpp"),
    ("decode-1", "decode.py", ["--rows", "1", "--sides", "whit", "llama_cpp"], "llama_cpp"),
    ("evaluate-0", "evaluate.py", ["--shots", "0"], "lm_eval"),
    ("evaluate-5", "evaluate.py", ["--shots", "5"], "lm_eval"),
    ("head", "head.py", [], "torch"),
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", default=[], help="of benches; all without")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--out", type=Path, default=Path("bench-results.json"))
    arguments = parser.parse_args()
    done: list[dict[str, Any]] = []
    for name, file, extra, package in BENCHES:
        if arguments.names and name not in arguments.names:
            continue
        if not has_peer(package):
            print(f"{name}: left out, {package} is not installed (make peers)\n", flush=True)
            continue
        with tempfile.TemporaryDirectory() as folder:
            figures = Path(folder, "figures.json")
            command = [sys.executable, HERE / file, *extra, "--rounds", str(arguments.rounds), "--json", figures]
            ended = subprocess.run(command, stderr=subprocess.PIPE, text=True, check=False)
            if ended.returncode:
                print(f"{name}: failed\n{ended.stderr[-1500:]}\n", flush=True)
                continue
            done.append(json.loads(figures.read_text()))
        arguments.out.write_text(json.dumps(done, indent=1))
        print(flush=True)
    print(f"{'bench':<12} {'peer':<14} {'ratio':>22} {'aim':>5} {'memory':>7} {'aim':>5}")
    for bench in done:
        for row in bench["outcomes"]:
            ratio = f"{row['ratio']:.2f} [{row['low']:.2f}, {row['high']:.2f}]"
            aims = (f"{row[key]:.1f}" if row[key] else "" for key in ("least", "most"))
            print("{:<12} {:<14} {:>22} {:>5} {:>7.2f} {:>5}  {}".format(
                bench["name"], row["peer"], ratio, next(aims), row["memory"], next(aims), "" if row["is_met"] else "missed"
            ))  # fmt: skip


def has_peer(package: str) -> bool:
    """Whether the peers' python, or this one, has the package."""
    python = os.environ.get("WHIT_PEERS")
    if not python:
        return importlib.util.find_spec(package) is not None
    code = f"import importlib.util, sys; sys.exit(importlib.util.find_spec('{package}') is None)"
    return subprocess.run([python, "-c", code], check=False).returncode == 0


if __name__ == "__main__":
    main()
