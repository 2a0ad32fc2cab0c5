"""Reverse speculative decoding: the teacher proposes each token, the student takes what it finds likely enough.

The traces are the teacher's reasoning in words that the student might have used; training on them is plain fine-tuning.
Source: RSD, arXiv:2509.22230, and its author's code. Three of its choices are inferred by the method card: the number of
proposals of the final runs, the length of prefixes, and that a prefix stands for a problem without a right trace.
"""

import time
from statistics import fmean
from typing import Annotated

from pydantic import Field

from whit.core.errors import RecipeError
from whit.core.rundir import Run
from whit.core.seeds import key64
from whit.core.types import Artifact, Example
from whit.data.render import Renderer
from whit.generation.duet import Duet, Text
from whit.generation.rules import Proposals, reverse_speculative
from whit.models.load import load_policy
from whit.prompting.zero_shot import zero_shot
from whit.stages._model import renderer_of
from whit.stages._task import load_task
from whit.stages._teachers import check_same_tokens, load_teacher
from whit.stages._texts import Keep
from whit.stages._traces import Trace, save_traces
from whit.stages._written import Row, Take, as_trace, beginning, chosen, fits, in_rounds, mean_student_logprob, told
from whit.verifiers._judge import judge


def rsd(
    start: Artifact,
    run: Run,
    *,
    proposals: Proposals = Proposals(),
    samples: Annotated[int, Field(gt=0)] = 16,
    per_problem: Annotated[int, Field(gt=0)] = 1,
    keep: Keep = "correct",
    take: Take = "shortest",
    max_fallback: Annotated[float, Field(ge=0, le=1)] = 0.5,
    prefix_tokens: Annotated[int, Field(ge=0)] = 128,
    prompts_per_round: Annotated[int, Field(gt=0)] = 16,
) -> Artifact:
    """Write `samples` traces of every problem of the training split with teacher and student, and keep the right ones.

    proposals: the threshold, 0.01, and how tokens are proposed. samples, per_problem, take: the code keeps the shortest
        right trace of 16; short ones are of easy problems, so look at the number of problems in the report.
    max_fallback: a trace in which the student wrote a larger share of the tokens itself is left out.
    prefix_tokens: of a problem without a right trace, so many of the first tokens of one are kept, at most half of it, and
        no end; 0 leaves the problem out.
    Both models' operations are charged. They need the same tokens; a repetition without end is cut off, and left out.
    Raises RecipeError when there is no teacher, or one of other tokens.
    """
    if not run.teacher:
        raise RecipeError("stage rsd: there is no teacher to propose. Set teacher = a model directory.")
    examples = load_task(run.task).take("train")
    student = load_policy(start.path, dtype=run.dtype, device=run.device)
    teacher = load_teacher(str(run.teacher), run)
    check_same_tokens(start.path.name, student.tokenizer, teacher)
    renderer, other = renderer_of(student, run.template), renderer_of(teacher, run.template)
    duet = Duet(student.decoder, teacher.decoder, renderer.stop_ids)
    rule = reverse_speculative(proposals, end_of_turn=renderer.end_of_turn, teacher_ends=other.stop_ids)

    def write(problems: list[Example], number: int) -> list[Row]:
        prompts = [(renderer.prompt(zero_shot(e)), other.prompt(zero_shot(e))) for e in problems]
        started = time.perf_counter()
        groups = duet.write(
            prompts, rule, max_new_tokens=run.max_new_tokens, num_samples=samples, seed=key64(run.seed, "rsd", number),
            keys=[e.id for e in problems],
        )  # fmt: skip
        duet.charge(run.ledger, prompts, groups, time.perf_counter() - started)
        pairs = ((e, text) for e, group in zip(problems, groups, strict=True) for text in group)
        return [_row(text, e, renderer.decode(text.ids)) for e, text in pairs]

    rows = in_rounds(run, examples, prompts_per_round, write)
    own = [row for row in rows if row["fallbacks"] <= max_fallback * len(row["ids"])]
    traces = chosen(own, examples, renderer, keep=keep, take=take, per_problem=per_problem)
    begun = _beginnings(own, traces, examples, renderer, prefix_tokens) if prefix_tokens else []
    report = {
        **told(rows), "mostly_students": len(rows) - len(own), "prefixes": len(begun),
        "accepted_frac": 1 - sum(row["fallbacks"] for row in rows) / max(1, sum(len(row["ids"]) for row in rows)),
        "logprob_written": fmean(lp for row in rows for lp in row["student_logprobs"]),
        "logprob_kept": mean_student_logprob(rows, traces),
    }  # fmt: skip
    return save_traces(start, run, [*traces, *begun], report)


def _row(text: Text, example: Example, words: str) -> Row:
    return {
        "id": example.id, "text": words, "ids": text.ids, "finish": text.finish, "source": "both",
        "correct": judge(words, example).correct, "fallbacks": text.is_teachers.count(False),
        "student_logprobs": [round(lp, 4) for lp in text.student_logprobs],
    }  # fmt: skip


def _beginnings(
    rows: list[Row], traces: list[Trace], examples: list[Example], renderer: Renderer, length: int
) -> list[Trace]:
    """The first tokens of the first trace of each problem that has no right one."""
    solved, by_id = {trace.id for trace in traces}, {example.id: example for example in examples}
    first: dict[str, Row] = {}
    for row in rows:
        if row["id"] not in solved and fits(renderer, by_id[row["id"]], row["ids"]):
            first.setdefault(row["id"], row)
    cuts = ((row, min(length, len(row["ids"]) // 2)) for row in first.values())
    return [beginning(as_trace(row, by_id[row["id"]]), renderer, cut) for row, cut in cuts if cut]
