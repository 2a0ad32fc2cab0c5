"""`whit runs`: what is in the directory of runs; `whit runs why A B`: why two artifacts have different keys."""

from typing import Annotated

import typer

from whit.cli._options import RUNS, Json, Runs
from whit.cli._show import as_json, duration, say


def runs(
    action: Annotated[str | None, typer.Argument(help="why: what differs between two artifacts")] = None,
    first: Annotated[str | None, typer.Argument(help="Key (or its beginning) of an artifact.")] = None,
    second: Annotated[
        str | None, typer.Argument(help="Key of the other; default: the newest of the same stage.")
    ] = None,
    runs: Runs = RUNS,
    json: Json = False,
) -> None:
    """List the artifacts, or say why a key changed."""
    from whit.core.errors import UsageError
    from whit.core.ledger import Ledger
    from whit.core.rundir import Store, differences

    artifacts = Store(runs / "artifacts").all()
    if action is None:
        rows = {a.key: a.facts() for a in artifacts}
        if json:
            as_json(rows)
            return
        for key, row in rows.items():
            facts, ledger = row["facts"], Ledger.from_plain(row["ledger"])
            cost = f"{ledger.flops:9.3g} FLOPs  {duration(ledger.seconds)}"
            say(f"{key}  {facts['stage']:<9} seed {facts['seed']}  {cost}")
        say(f"{len(rows)} artifacts in {runs / 'artifacts'}")
        return
    if action != "why" or first is None:
        raise UsageError("write `whit runs`, or `whit runs why KEY [KEY]`.")

    def pick(key: str) -> dict:  # type: ignore[type-arg]
        found = [a for a in artifacts if a.key.startswith(key)]
        if len(found) != 1:
            raise UsageError(f"{len(found)} artifacts have a key that begins with '{key}'. `whit runs` lists them.")
        return found[0].facts()["facts"]  # type: ignore[no-any-return]

    old = pick(first)
    if second is None:
        same = [a for a in artifacts if a.facts()["facts"]["stage"] == old["stage"] and not a.key.startswith(first)]
        if not same:
            raise UsageError(f"there is no other artifact of the stage '{old['stage']}' to compare with.")
        second = same[-1].key
    changes = differences(old, pick(second))
    if json:
        as_json(changes)
        return
    for line in changes or ["nothing differs"]:
        say(line)
