"""The first tokens of solutions, without their end and without a check.  Source: UPFT, arXiv:2503.02875.

No method card covers it beyond a paragraph of `rsd`; the length is our own choice.
"""

from typing import Annotated, Literal

from pydantic import Field

from whit.core.errors import RecipeError
from whit.core.rundir import Run
from whit.core.seeds import key64
from whit.core.types import Artifact, Example
from whit.data.render import Renderer
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
from whit.stages._traces import load_traces, save_traces
from whit.stages._written import Row, as_trace, beginning, fits, in_rounds


def prefixes(
    start: Artifact,
    run: Run,
    *,
    tokens: Annotated[int, Field(gt=0)] = 128,
    writer: Literal["student", "teacher", "traces"] = "student",
    samples: Annotated[int, Field(gt=0)] = 1,
    prompts_per_round: Annotated[int, Field(gt=0)] = 64,
    sampling: Sampling = Sampling(temperature=0.7),
) -> Artifact:
    """Keep the first `tokens` tokens of a solution of every problem, right or wrong; a shorter one keeps its end.

    writer: the start model, as in the paper, the run's teacher, or the traces that the stage before made. Only so many
        tokens are written, and charged.
    Raises RecipeError when a teacher is asked for and there is none.
    """
    if writer == "teacher" and not run.teacher:
        raise RecipeError(
            'stage prefixes: there is no teacher. Set teacher = a model directory, or writer = "student".'
        )
    renderer, examples = renderer_at(start.path, run.template), load_task(run.task).take("train")
    if writer == "traces":
        cut = [beginning(trace, renderer, tokens) for trace in load_traces(start, "prefixes")]
        return save_traces(start, run, cut, {"written": len(cut)})
    student = load_policy(start.path, dtype=run.dtype, device=run.device)
    policy = load_teacher(str(run.teacher), run) if writer == "teacher" else student
    own = renderer_of(policy, run.template)
    engine = Engine(policy.decoder, own.stop_ids, decode=own.decode)

    def write(problems: list[Example], number: int) -> list[Row]:
        groups = collect(
            engine, own, problems, zero_shot, accuracy, num_samples=samples,
            sampling=sampling.model_copy(update={"max_new_tokens": tokens}), seed=key64(run.seed, "prefixes", number),
            ledger=run.ledger,
        )  # fmt: skip
        return [
            {
                "id": group.example.id, "text": r.text, "finish": r.finish, "correct": None, "source": writer,
                "ids": list(r.segments[-1].ids) if writer == "student" else _retold(renderer, r.text, r.finish),
            }
            for group in groups
            for r in group.rollouts
        ]  # fmt: skip

    rows = in_rounds(run, examples, prompts_per_round, write)
    by_id = {example.id: example for example in examples}
    traces = [as_trace(row, by_id[row["id"]]) for row in rows if fits(renderer, by_id[row["id"]], row["ids"])]
    report = {"written": len(rows), "ended": sum(row["finish"] == "stop" for row in rows)}
    if traces:
        report["logprob_kept"] = mean_logprob(student.decoder, [t.document(renderer) for t in traces[:128]])
    return save_traces(start, run, traces, report)


def _retold(renderer: Renderer, text: str, finish: str) -> list[int]:
    """A teacher's text in the student's tokens. Of one that was cut off the last token may be half a word: it goes."""
    ids = renderer.completion(text)
    return ids if finish == "stop" else ids[:-2]
