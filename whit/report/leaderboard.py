"""A study's leaderboard as plain text of at most 80 columns, from `leaderboard.json`."""

import textwrap
from collections.abc import Mapping
from typing import Any

from whit.core.words import outcome_words

WIDTH = 80
NEAR = 0.85  # pipelines end at whole steps below one ceiling; what costs less than this share is remarked


def render(board: Mapping[str, Any]) -> str:
    """The table, then what a reader has to know to use it."""
    rows = board["rows"]
    width = min(18, max([8, *(len(row["name"]) for row in rows)]))
    head = f"{'pipeline':<{width}} {'accuracy %':>19} {'minus zero-shot  ':>22} {'greedy':>6} {'GFLOPs':>8}"
    dearest = max((row["flops"] for row in rows if row["is_trained"]), default=0.0)
    lines = [head, "-" * len(head)]
    for row in rows:
        lines.append(
            f"{row['name'][:width]:<{width}} {_interval(row['accuracy']):>19} {_difference(row['difference']):>22} "
            f"{100 * row['greedy']:>6.1f} {_cost(row):>8}"
        )
        troubled = {k: v for k, v in row["outcomes"].items() if k != "finished"}
        if troubled:
            counts = [f"{number} of {row['seeds']} {outcome_words(outcome)}" for outcome, number in troubled.items()]
            lines.append(f"  {', '.join(counts)}; median {100 * row['median']:.1f}")
        if row["is_trained"] and row["flops_from_nothing"] > 1.1 * row["flops"]:
            lines.append(
                f"  {row['flops_from_nothing'] / 1e9:,.0f} GFLOPs from nothing, with trials, choices and texts"
            )
        if row["is_trained"] and row["unspent"] >= 0.005:
            lines.append(f"  stopped by dev with {100 * row['unspent']:.0f} % of its budget left")
        elif row["is_trained"] and row["flops"] < NEAR * dearest:
            lines.append(
                f"  ended at {100 * row['flops'] / dearest:.0f} % of the cost of the dearest: no equal comparison"
            )
    seeds = max((row["seeds"] for row in rows if row["is_trained"]), default=0)
    lines += [
        "",
        f"{board['num_items']} test items x {board['num_samples']} samples, {seeds} seeds; 95 % intervals, clustered by",
        "group, those of the differences simultaneous over the rows (* excludes zero).",
    ]
    lines += ["", *textwrap.wrap(board["verdict"]["sentence"], WIDTH)]
    left = {name: seen for name, seen in board["qualified"].items() if not seen["goes_on"]}
    if left:
        shown = ", ".join(f"{name} ({100 * seen['accuracy'][0]:.1f} %)" for name, seen in left.items())
        lines += textwrap.wrap(f"Left out after one run each on dev: {shown}.", WIDTH)
    for name, reason in board["failures"].items():
        lines += textwrap.wrap(f"{name} could not be scored: {reason}", WIDTH)
    if board.get("other_looks"):
        lines += textwrap.wrap(
            f"The test split was opened for {board['looks']} models here, and for {board['other_looks']} others before or "
            "beside: what was chosen after seeing those is in no interval.",
            WIDTH,
        )
    if not board["complete"]:
        lines.append("INCOMPLETE: not every run is finished; run the same command again to go on.")
    return "\n".join(lines)


def _interval(interval: Mapping[str, float]) -> str:
    return f"{100 * interval['estimate']:.1f} [{100 * interval['low']:.1f}, {100 * interval['high']:.1f}]"


def _difference(interval: Mapping[str, float] | None) -> str:
    """With a star where zero is outside, on either side."""
    if interval is None:
        return "- "
    mark = "*" if interval["low"] > 0 or interval["high"] < 0 else " "
    return f"{100 * interval['estimate']:+.1f} [{100 * interval['low']:+.1f}, {100 * interval['high']:+.1f}]{mark}"


def _cost(row: Mapping[str, Any]) -> str:
    if not row["is_trained"]:
        return "-"
    cost = f"{row['flops'] / 1e9:,.0f}"
    return cost if len(cost) <= 8 else f"{row['flops'] / 1e9:.2e}"
