"""`whit demo`: the whole job on embedded models and problems, in a few minutes on two cores."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from whit.cli._options import RUNS, Json, Runs
from whit.cli._show import note, say
from whit.core.words import count, wrapped

if TYPE_CHECKING:
    from whit.core.types import Interval
    from whit.study.study import Study

HOURS = (1, 8)  # of a study of one's own, for which the demo says what they buy here


def demo(runs: Runs = RUNS, json: Json = False) -> None:
    """Six trainings of a micro model on word problems and two controls, 3 seeds each, compared at equal cost."""
    import whit
    from whit.cli.study import run_and_watch, show
    from whit.report.html import write_report
    from whit.report.leaderboard import render
    from whit.study.study import Study

    study = Study.read(Path(whit.__file__).parent / "assets" / "demo.toml")
    directory = runs / "study-demo"
    num_controls = sum(spec.control for spec in study.pipeline)
    note(
        f"{len(study.pipeline) - num_controls} pipelines and {num_controls} controls x {study.seeds} seeds, "
        f"{study.flops:.2g} FLOPs each, and three arms that train nothing."
    )
    outcome = run_and_watch(study, directory, runs, 0, "cpu")
    if json:
        show(outcome, json=True)
        return
    say(render(outcome.leaderboard.to_plain()))
    say()
    say("Is the instrument right?")
    for line in _instrument(study, directory, runs):
        say(wrapped(line, first="  ", rest="    "))
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
    say()
    say(f"best model ({outcome.leaderboard.best_run}): {outcome.exported}")
    say(str(write_report(directory)))


def _instrument(study: "Study", directory: Path, runs: Path) -> Iterator[str]:
    """What the controls show: equal is called equal, no reward gives no gain, a silent fault is refused."""
    from whit.core.errors import PreflightError
    from whit.recipes.pipeline import Site
    from whit.recipes.preflight import require
    from whit.study.compare import difference

    twins = difference(study, directory, "sft-twin", "sft")
    equal = "called equal" if twins.low <= 0 <= twins.high else "CALLED DIFFERENT, as one twin in twenty will be"
    yield f"sft and its twin of other seeds: {_points(twins)} points: {equal}"
    blind = difference(study, directory, "rl-random", "zero_shot")
    gain = "A GAIN without a reward: what rl gains over this is what its reward taught"
    if blind.low <= 0:
        gain = "no gain" if blind.high >= 0 else "no gain, and what was there is unlearned"
    yield f"RL with a random reward against none: {_points(blind)} points: {gain}"
    sft = next(spec for spec in study.pipeline if spec.name == "sft").stage[0]
    masked = study.recipe("sft", 0).model_copy(
        update={"stage": (sft.model_validate({**sft.model_dump(), "end_of_turn": False}),)}
    )
    try:
        require(masked, Site(runs))
        yield "A recipe whose end of turn is never supervised: NOT REFUSED"
    except PreflightError as error:
        yield f"A recipe whose end of turn is never supervised is refused: {str(error).partition('. ')[0]}."


def _points(interval: "Interval") -> str:
    return f"{100 * interval.estimate:+.1f} [{100 * interval.low:+.1f}, {100 * interval.high:+.1f}]"


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
