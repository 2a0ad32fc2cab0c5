"""What models write for a stage that makes traces: problem by problem in rounds, within the budget, then chosen from."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from statistics import fmean
from typing import Any, Literal

from whit.core.errors import BudgetError
from whit.core.rundir import Run
from whit.core.seeds import stream
from whit.core.types import Example
from whit.data.render import Renderer
from whit.prompting.zero_shot import zero_shot
from whit.stages._texts import Keep
from whit.stages._traces import Rounds, Trace

Row = dict[str, Any]
"""One completion: id, text, ids, finish, correct, source, and what its stage adds."""
Take = Literal["first", "shortest"]


def in_rounds(
    run: Run, examples: Sequence[Example], per_round: int, write: Callable[[list[Example], int], list[Row]]
) -> list[Row]:
    """The rows of all rounds: every problem once, in random order, as far as the stage's budget goes.

    The first round is one problem, which tells what problems cost; after it a round has as many as the budget pays for, at
    the price of the dearest so far, and at most `per_round`. A stage that was killed goes on where it was.
    Raises BudgetError when the first problem takes more than there is.
    """
    rounds = Rounds(run)
    rows = list(rounds)
    order = list(range(len(examples)))
    stream(run.seed, "written-order").shuffle(order)
    limit = run.ledger.limit_flops
    while rounds.problems < len(order):
        size = per_round if rounds.count else 1
        if rounds.count and limit is not None:
            size = min(size, int((limit - run.ledger.flops) / rounds.dearest))
        if size < 1:
            break
        before = run.ledger.flops
        new = write([examples[i] for i in order[rounds.problems : rounds.problems + size]], rounds.count)
        if not rounds.count and limit is not None and run.ledger.flops > limit:
            raise BudgetError(
                f"one problem takes {run.ledger.flops - before:.3g} FLOPs to write, and stage {run.facts.stage} has "
                f"{limit:.3g}. Raise the budget or the stage's share of it, or ask for fewer samples."
            )
        rows += new
        run.notify({"step": rounds.count, "progress": (rounds.problems + size) / len(order), "written": len(rows)})
        rounds.add(new, min(size, len(order) - rounds.problems), before)
    return rows


def chosen(
    rows: Sequence[Row], examples: Sequence[Example], renderer: Renderer, *, keep: Keep, take: Take, per_problem: int
) -> list[Trace]:
    """The traces to train on: whole, of different texts, right ones if asked, so many a problem, in the order written."""
    by_id = {example.id: example for example in examples}
    found: dict[str, list[Row]] = {}
    for row in rows:
        own = found.setdefault(row["id"], [])
        is_whole = row["finish"] == "stop" and fits(renderer, by_id[row["id"]], row["ids"])
        is_new = all(row["ids"] != other["ids"] for other in own)
        if is_whole and is_new and (keep == "all" or row["correct"]):
            own.append(row)
    if take == "shortest":
        found = {identity: sorted(own, key=lambda row: len(row["ids"])) for identity, own in found.items()}
    return [as_trace(row, by_id[row["id"]]) for own in found.values() for row in own[:per_problem]]


def fits(renderer: Renderer, example: Example, ids: Sequence[int]) -> bool:
    """Whether a completion has room in the student's context."""
    return len(renderer.prompt(zero_shot(example))) + len(ids) <= renderer.max_length


def as_trace(row: Mapping[str, Any], example: Example) -> Trace:
    """A row as a trace."""
    return Trace(example.id, tuple(zero_shot(example)), row["text"], tuple(row["ids"]), row["source"], row["correct"])


def beginning(trace: Trace, renderer: Renderer, length: int) -> Trace:
    """The first `length` tokens of a trace; of one that is longer nobody knows whether it is right."""
    if len(trace.ids) <= length:
        return trace
    ids = trace.ids[:length]
    return replace(trace, ids=ids, text=renderer.decode(ids), correct=None)


def told(rows: Sequence[Row]) -> dict[str, Any]:
    """What every report says of what was written, before anything was left out."""
    count = max(1, len(rows))
    return {
        "written": len(rows), "written_problems": len({row["id"] for row in rows}),
        "written_correct": sum(row["correct"] for row in rows), "cut_off": sum(row["finish"] == "length" for row in rows),
        "written_tokens_mean": sum(len(row["ids"]) for row in rows) / count,
    }  # fmt: skip


def mean_student_logprob(rows: Sequence[Row], traces: Sequence[Trace]) -> float | None:
    """Mean log-probability a token under the student of those rows that became traces, as it was when they were written."""
    taken = {(trace.id, trace.ids) for trace in traces}
    values = [lp for row in rows if (row["id"], tuple(row["ids"])) in taken for lp in row["student_logprobs"]]
    return fmean(values) if values else None
