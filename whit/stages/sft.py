"""Supervised fine-tuning: next-token loss on completions, full or LoRA.

What it trains on is explicit: given rationales, bare answers, the model's own verified solutions (rejection sampling,
arXiv:2203.14465; its sampling is charged), or the traces that the stage before made.
"""

from typing import Annotated, Any, Literal

from pydantic import Field

from whit.core.errors import RecipeError
from whit.core.rundir import Run
from whit.core.types import Artifact
from whit.generation.sampler import Sampling
from whit.models.adapters import Lora
from whit.prompting.zero_shot import zero_shot
from whit.stages._accepted import accepted_documents
from whit.stages._setup import formed, in_epochs, open_ended, set_up, steps_of, train_and_save
from whit.stages._space import PROBE_FACTOR, Guidance, SpaceGuide, check_space
from whit.stages._task import load_task
from whit.stages._terms import TermSpec, build_terms
from whit.stages._traces import load_traces
from whit.stages._transforms import Transforms, shows
from whit.training.loop import Feed
from whit.training.optim import Optim

Source = Literal["rationales", "answers", "own", "traces"]


def sft(
    start: Artifact,
    run: Run,
    *,
    source: Source = "rationales",
    form: str = "rationale",
    end_of_turn: bool = True,
    transform: Transforms = (),
    space: SpaceGuide | None = None,
    epochs: Annotated[float, Field(gt=0)] | None = None,
    batch_documents: Annotated[int, Field(gt=0)] = 32,
    optim: Optim = Optim(),
    lora: Lora | None = None,
    terms: tuple[TermSpec, ...] = (TermSpec(objective="cross_entropy"),),
    max_tokens: Annotated[int, Field(ge=0)] = 0,
    recompute: bool = False,
    own_share: Annotated[float, Field(gt=0, lt=1)] = 0.4,
    own_samples: Annotated[int, Field(gt=0)] = 4,
    own_prompts: Annotated[int, Field(gt=0)] = 32,
    sampling: Sampling = Sampling(),
) -> Artifact:
    """Minimise the terms (cross-entropy) on the training split's completions until the budget is spent.

    source: "rationales" (the worked solution, then the answer), "answers" (the answer alone), "own" (completions of the
        start model that the verifier accepts) or "traces" (what the stage before made).
    form: of "rationales", what is taught of each: a part of the kind form (`whit parts form`), such as "rationale" or
        "equations". Examples that do not have it are left out and counted.
    end_of_turn: whether the token that ends an answer is supervised; without it the model does not learn to stop, and
        pre-flight refuses.
    transform: what a step does to its documents, such as hiding tokens: one or several parts (`whit parts transform`).
    space: how directions of the labels in the hidden states guide the training (TS-FT); None does not.
    epochs: stop after so many passes even if budget is left; None uses the whole budget.
    own_share: part of the budget that "own" spends on sampling `own_samples` completions of `own_prompts` prompts at once.
    Raises DataError when the split has no rationales, and RunError when "own" finds no accepted completion.
    """
    if form != "rationale" and source != "rationales":
        raise RecipeError(
            f'stage sft: form = "{form}" is made of given rationales, and source = "{source}" takes none. Leave one out.'
        )
    task = load_task(run.task)
    sampling = sampling.within(run.max_new_tokens)
    train_split = task.take("train")
    outcome: dict[str, Any] = {}
    loss, is_given = build_terms(terms), source in ("rationales", "answers")
    taught, left_out = formed(train_split, "answer" if source == "answers" else form) if is_given else ([], 0)
    guidance = None
    if space is not None:
        check_space(space, source, transform)
        guidance = None if space.is_idle else Guidance(space, run, [example for example, _ in taught])
    trainee = set_up(
        start, run, "sft", optim, lora, max_tokens=max_tokens, recompute=recompute, masks=bool(transform),
        guided=guidance.guide if guidance else None,
        head_factor=PROBE_FACTOR if guidance and guidance.settings.control == "learned" else None,
    )  # fmt: skip
    show = shows(transform, trainee.policy, run, loss)
    if source == "own":
        documents = accepted_documents(trainee, run, train_split, own_share, own_samples, own_prompts, sampling)
    elif source == "traces":
        documents = [trace.document(trainee.renderer) for trace in load_traces(start, "sft")]
    else:
        documents = [trainee.renderer.document(zero_shot(example), text) for example, text in taught]
        outcome = {"form": {"taught": len(taught), "left_out": left_out}} if source == "rationales" else {}
        if left_out and outcome:
            run.notify(outcome)
    if not end_of_turn:
        documents = open_ended(documents)
    if guidance:
        documents = guidance.join(trainee, start, loss, documents)
    indices = in_epochs(len(documents), batch_documents, run.seed, "sft-order", epochs)

    def producer(step: int, progress: float) -> Feed | None:
        chosen = indices(step)
        if chosen is None:
            return None
        own = [documents[i] for i in chosen]
        return guidance.feed(own, step) if guidance else Feed(*show(own, step))

    num_steps = steps_of(len(documents), batch_documents, epochs)
    watched = documents if source == "traces" else []
    return train_and_save(
        trainee, run, guidance.terms if guidance else loss, producer, num_steps=num_steps, watched=watched,
        forward=guidance.forward if guidance else None, **outcome,
    )  # fmt: skip
