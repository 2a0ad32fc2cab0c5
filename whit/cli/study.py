"""`whit study`: which training is best for this model, this task and this budget."""

import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from whit.cli._options import RUNS, TASK, Device, Json, Runs, resolve_device, task_spec
from whit.cli._show import Ticker, as_json, note, say, tell_check, time_left
from whit.core.words import count, duration, outcome_words

if TYPE_CHECKING:
    from whit.study.jobs import Job
    from whit.study.run import Outcome
    from whit.study.study import Study

NUM_SEEDS = 3


def study(
    file: Annotated[Path | None, typer.Argument(help="An edited study.toml to run, instead of the options.")] = None,
    model: Annotated[str | None, typer.Option(help="A model directory, GGUF file or hub name.")] = None,
    task: Annotated[str | None, typer.Option(help=TASK)] = None,
    hours: Annotated[float | None, typer.Option(min=0.0, help="Wall time that the whole study may take here.")] = None,
    flops: Annotated[float | None, typer.Option(min=0.0, help="Ceiling of one pipeline, instead of hours.")] = None,
    money: Annotated[
        float | None, typer.Option(min=0.0, help="What the whole study may cost, instead of hours.")
    ] = None,
    price: Annotated[float | None, typer.Option(min=0.0, help="Of an hour of this machine, for --money.")] = None,
    teacher: Annotated[str | None, typer.Option(help="A model to distil from, or a file of its texts.")] = None,
    seeds: Annotated[
        int, typer.Option(min=1, help="Training seeds of every pipeline; 5 or more for figures.")
    ] = NUM_SEEDS,
    columns: Annotated[str | None, typer.Option(help="prompt=question,answer=label for a file.")] = None,
    max_new_tokens: Annotated[int | None, typer.Option(min=1, help="Where completions are cut off.")] = None,
    template: Annotated[str | None, typer.Option(help='"plain" for models without a chat template.')] = None,
    workers: Annotated[int, typer.Option(min=0, help="Runs side by side; 0: one a core, as memory allows.")] = 0,
    plan_only: Annotated[bool, typer.Option("--plan", help="Write study.toml, print the plan, and stop.")] = False,
    runs: Runs = RUNS,
    device: Device = "auto",
    json: Json = False,
) -> None:
    """Train the pipelines that the data allows, compare them at equal cost, and export the best model."""
    from whit.core.errors import UsageError
    from whit.study.study import Study

    device = resolve_device(device)
    if file is not None:
        beside = {"--model": model, "--task": task, "--hours": hours, "--flops": flops, "--money": money, "--price": price,
                 "--teacher": teacher, "--columns": columns, "--max-new-tokens": max_new_tokens, "--template": template,
                 "--seeds": None if seeds == NUM_SEEDS else seeds}  # fmt: skip
        if twice := [option for option, value in beside.items() if value is not None]:
            raise UsageError(
                f"{file} says what the study is, and {', '.join(twice)} would say it again. Edit the file."
            )
        chosen = Study.read(file)
        directory = (
            file.parent
            if file.name == "study.toml" and file.parent.name.startswith("study-")
            else runs / f"study-{file.stem}"
        )
    else:
        ceilings = {"--hours": hours, "--money": money, "--flops": flops}
        given = [f"{option} {value:g}" for option, value in ceilings.items() if value is not None]
        if len(given) > 1:
            raise UsageError(
                f"{' and '.join(given)} are {len(given)} ceilings, and a study has one. Leave out the others."
            )
        if model is None or task is None or not given:
            raise UsageError(
                "give --model, --task and one of --hours, --money and --flops; or the path of a study.toml."
            )
        if money is not None and price is None:
            raise UsageError(f"--money {money:g} buys hours at a price: add --price, of an hour of this machine.")
        asked = {
            "model": model, "task": task_spec(task, columns), "hours": hours, "flops": flops, "teacher": teacher,
            "seeds": seeds, "max_new_tokens": max_new_tokens, "template": template, "money": money, "price": price,
        }  # fmt: skip
        directory = runs / _name(asked)
        chosen = _planned(asked, directory, workers, device, plan_only)
    if plan_only:
        say(str(directory / "study.toml"))
        return
    outcome = run_and_watch(chosen, directory, runs, workers, device)
    show(outcome, json=json)


def run_and_watch(study: "Study", directory: Path, runs: Path, workers: int, device: str) -> "Outcome":
    """Run a study with a line for every run that ends and one that moves."""
    from whit.recipes.machine import model_shape
    from whit.study.resources import choose_workers
    from whit.study.run import expected_runs, run_study

    total, finished, ahead = expected_runs(study, directory)
    if finished:
        note(f"{finished} of {total} runs are finished; going on.")
    watch = _Watch(study, total, finished, ahead)
    chosen = choose_workers(workers or study.workers, model_shape(study.start()), device)
    outcome = run_study(study, directory, runs, workers=chosen, device=device, watch=watch, notify=tell_check)
    watch.ticker.clear()
    return outcome


def show(outcome: "Outcome", *, json: bool = False) -> None:
    """The leaderboard on stdout; the last line is the path of what was written."""
    from whit.core.errors import WhitError
    from whit.report.html import write_report
    from whit.report.leaderboard import render

    if json:
        as_json(
            {**outcome.leaderboard.to_plain(), "directory": str(outcome.directory), "exported": str(outcome.exported)}
        )
        return
    say(render(outcome.leaderboard.to_plain()))
    if outcome.exported:
        board = outcome.leaderboard
        what = "best model" if board.best == board.verdict.recommended else "exported, though not shown to be better"
        say(f"{what} ({board.best_run}): {outcome.exported}")
    try:
        say(str(write_report(outcome.directory)))
    except WhitError as error:  # the study is done: what cannot be told of it is no failure of it
        note(f"no report: {error}")
        say(str(outcome.directory))


class _Watch:
    """Events of a study's jobs as lines.

    total, finished: of the jobs that are shown. ahead: trainings that are not finished, in whole runs.
    """

    def __init__(self, study: "Study", total: int, finished: int, ahead: float) -> None:
        self.total, self.finished, self.ahead, self.done = total, finished, ahead, 0.0
        self.num_stages = {spec.name: len(spec.stage) for spec in study.pipeline}
        self.weight = {"run": 1.0, "qualify": 1.0, "trial": study.trial_share}
        self.started = time.monotonic()
        self.trains_since: float | None = None
        self.ticker = Ticker()
        self.now: dict[str, str] = {}
        self.shares: dict[str, float] = {}  # of the runs that are on the way

    def __call__(self, job: "Job", event: dict[str, Any]) -> None:
        elapsed = time.monotonic() - self.started
        if event["event"] == "progress":
            self._progress(job, event)
            return
        self.shares.pop(job.id, None)
        if event["event"] == "done":
            self.done += self.weight.get(job.kind, 0.0)
        else:
            self.ahead -= self.weight.get(job.kind, 0.0)
        self.now.pop(job.id, None)
        if job.kind == "prefix":
            if event["event"] == "failed":
                self.ticker.clear()
                note(f"{job.id}: {event['error']}")
            return
        self.finished += 1
        self.ticker.clear()
        seed = _which(job)
        if event["event"] == "failed":
            note(f"[{self.finished}/{self.total}] {duration(elapsed):>7}  {job.name}{seed}: failed: {event['error']}")
            return
        estimate, low, high = event["accuracy"]
        trouble = "" if event["outcome"] == "finished" else f"  {outcome_words(event['outcome']).upper()}"
        note(
            f"[{self.finished}/{self.total}] {duration(elapsed):>7}  {job.name + seed:<24} "
            f"{100 * estimate:5.1f} % [{100 * low:.1f}, {100 * high:.1f}]{trouble}"
        )

    def _progress(self, job: "Job", event: dict[str, Any]) -> None:
        if event.get("found"):  # a stage that another run has made: no time of this one
            return
        stage, of = int(event.get("stage", 1)), self.num_stages.get(job.name, 1)
        name = f"{job.name}{_which(job)}" + (f", stage {stage} of {of}" if "stage" in event and of > 1 else "")
        if "progress" in event:
            self.now[job.id] = f"{name}: {100 * event['progress']:.0f} %"
            self.shares[job.id] = self.weight.get(job.kind, 0.0) * (stage - 1 + event["progress"]) / of
            self.trains_since = self.trains_since or time.monotonic()
        elif "new_tokens" in event:
            self.now[job.id] = f"{name}: scoring, {count(event['new_tokens'])} tokens"
        else:
            self.now[job.id] = f"{job.name}{_which(job)}"
        self.ticker.show(
            fitting([f"{self.finished}/{self.total}", *self._left(), *self.now.values()], self.ticker.columns)
        )

    def _left(self) -> list[str]:
        """How long the trainings that are left take, once one is done or a tenth of all: what asks a model is short."""
        done = self.done + sum(self.shares.values())
        if self.trains_since is None or done < min(1.0, 0.1 * self.ahead):
            return []
        told = time_left(time.monotonic() - self.trains_since, done, max(0.0, self.ahead - done))
        return [told] if told else []


def fitting(parts: Sequence[str], width: int) -> str:
    """As many of the parts as fit on a line, whole, and how many do not."""
    for shown in range(len(parts), 0, -1):
        more = [f"+{len(parts) - shown} more"] if shown < len(parts) else []
        line = "  ".join([*parts[:shown], *more])
        if len(line) <= width:
            return line
    return parts[0]


def _which(job: "Job") -> str:
    """What a job's line says after the name of its pipeline."""
    return {"arm": "", "trial": f" rate x{job.factor:g}", "qualify": " on dev"}.get(job.kind, f" seed {job.seed}")


def _planned(asked: dict[str, Any], directory: Path, workers: int, device: str, plan_only: bool) -> "Study":
    """The study of these options: the one that an earlier call planned, or a new one, printed."""
    from whit.study.study import Study

    if (directory / "study.toml").exists():
        note(f"the plan in {directory / 'study.toml'} is kept; edit it, or delete it to plan again.")
        return Study.read(directory / "study.toml")
    from whit.study.planner import plan_study

    planned = plan_study(asked, workers=workers, device=device)
    from whit.study.grid import write_study

    write_study(directory / "study.toml", planned.study)
    note(str(planned))
    if not plan_only:  # else the path is the result
        note(f"plan: {directory / 'study.toml'}")
    return planned.study


def _name(asked: dict[str, Any]) -> str:
    from whit.core.seeds import key64

    task = asked["task"] if isinstance(asked["task"], str) else asked["task"]["name"]
    given = {name: value for name, value in asked.items() if name not in ("money", "price") or value is not None}
    stem = Path(task).name.partition(".")[0]
    return f"study-{Path(asked['model']).name}-{stem}-{key64(given) % 16**6:06x}"
