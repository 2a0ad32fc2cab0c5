"""`whit demo`: the whole job on embedded models and problems, in a few minutes on two cores."""

from pathlib import Path

from whit.cli._options import RUNS, Json, Runs
from whit.cli._show import count, note, say

HOURS = (1, 8)  # of a study of one's own, for which the demo says what they buy here


def demo(runs: Runs = RUNS, json: Json = False) -> None:
    """Six trainings of a micro model on word problems, 3 seeds each, compared at equal cost."""
    import whit
    from whit.cli.study import run_and_watch, show
    from whit.study.study import Study

    study = Study.read(Path(whit.__file__).parent / "assets" / "demo.toml")
    runs_of = f"{len(study.pipeline)} pipelines x {study.seeds} seeds, {study.flops:.2g} FLOPs each"
    note(f"{runs_of}, and three arms that train nothing.")
    outcome = run_and_watch(study, runs / "study-demo", runs, 0, "cpu")
    show(outcome, json=json)
    if json:
        return
    say()
    say("This ranking is a rehearsal on a micro model: it shows the instrument and")
    say("predicts nothing about another model. For your own model and file (columns")
    say("prompt and answer):")
    say()
    say("  whit study --model DIR-OR-HUB-NAME --task your.csv --hours 1")
    say()
    say("Training tokens that each of 4 pipelines x 3 seeds gets on this machine:")
    for hours in HOURS:
        say(f"  --hours {hours}: {_buys(hours)}")


def _buys(hours: float) -> str:
    """Training tokens of a pipeline of a study of 4 pipelines x 3 seeds, for two sizes of model."""
    from whit.core.flops import Shape
    from whit.study.plan import quick_rates
    from whit.study.resources import choose_workers

    parts = []
    for name, shape in (
        ("135M", Shape(49152, 576, 30, 9, 3, 64, 1536)),
        ("0.5B", Shape(151936, 896, 24, 14, 2, 64, 4864)),
    ):
        flops = hours * 3600 * 0.6 * choose_workers(0, shape) * quick_rates(shape).train / 12
        parts.append(f"about {count(flops / (6 * shape.parameters))} with a {name} model")
    return ", ".join(parts)
