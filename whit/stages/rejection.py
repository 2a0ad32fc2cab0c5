"""Rejection sampling: a model writes, the verifier filters, what is left is trained on.  Source: arXiv:2203.14465.

With the teacher as the writer this is sequence-level distillation (Kim and Rush 2016) on verified texts; with the student,
rejection-sampling fine-tuning.
"""

from typing import Annotated, Literal

from pydantic import Field

from whit.core.errors import RecipeError
from whit.core.rundir import Run
from whit.core.seeds import key64
from whit.core.types import Artifact, Example
from whit.generation.engine import Engine
from whit.generation.sampler import Sampling
from whit.models.load import load_policy
from whit.prompting.zero_shot import zero_shot
from whit.rewards.accuracy import accuracy
from whit.rollouts.collect import collect
from whit.stages._model import renderer_at, renderer_of
from whit.stages._setup import mean_logprob
from whit.stages._task import load_task
from whit.stages._teachers import load_teacher
from whit.stages._texts import Keep
from whit.stages._traces import save_traces
from whit.stages._written import Row, Take, chosen, in_rounds, told

SCORED = 128  # traces whose log-probability is told, before and after the choice


def rejection(
    start: Artifact,
    run: Run,
    *,
    writer: Literal["teacher", "student"] = "teacher",
    samples: Annotated[int, Field(gt=0)] = 4,
    per_problem: Annotated[int, Field(gt=0)] = 4,
    keep: Keep = "correct",
    take: Take = "first",
    prompts_per_round: Annotated[int, Field(gt=0)] = 32,
    sampling: Sampling = Sampling(temperature=0.7),
) -> Artifact:
    """Write `samples` solutions of every problem of the training split, and keep those that the verifier accepts.

    writer: the run's teacher, in its own chat template, or the start model. Its operations are charged.
    per_problem: different ones that are kept of a problem at most. take: which of more: the first, or the "shortest".
    keep: "all" keeps wrong ones too; what was cut off is never kept.
    The report counts what was written and kept, and gives the student's mean log-probability a token of both: higher for
    texts that are more its own.
    Raises RecipeError when a teacher is asked for and there is none, DataError when nothing is left.
    """
    if writer == "teacher" and not run.teacher:
        raise RecipeError(
            'stage rejection: there is no teacher. Set teacher = a model directory, or writer = "student".'
        )
    renderer, examples = renderer_at(start.path, run.template), load_task(run.task).take("train")
    student = load_policy(start.path, dtype=run.dtype, device=run.device)
    policy = load_teacher(str(run.teacher), run) if writer == "teacher" else student
    own = renderer_of(policy, run.template)
    engine = Engine(policy.decoder, own.stop_ids, decode=own.decode)
    limited = sampling.within(run.max_new_tokens)

    def write(problems: list[Example], number: int) -> list[Row]:
        groups = collect(
            engine, own, problems, zero_shot, accuracy, num_samples=samples, sampling=limited,
            seed=key64(run.seed, "rejection", number), ledger=run.ledger,
        )  # fmt: skip
        return [
            {
                "id": group.example.id, "text": r.text, "finish": r.finish, "correct": r.verdict.correct, "source": writer,
                "ids": list(r.segments[-1].ids) if writer == "student" else renderer.completion(r.text),
            }
            for group in groups
            for r in group.rollouts
        ]  # fmt: skip

    rows = in_rounds(run, examples, prompts_per_round, write)
    traces = chosen(rows, examples, renderer, keep=keep, take=take, per_problem=per_problem)
    everything = chosen(rows, examples, renderer, keep="all", take="first", per_problem=samples)
    means = {
        name: mean_logprob(student.decoder, [trace.document(renderer) for trace in those[:SCORED]])
        for name, those in (("logprob_written", everything), ("logprob_kept", traces))
        if those
    }
    return save_traces(start, run, traces, {**told(rows), **means})
