"""Distilling step-by-step: every example is taught twice in a step, as an answer and as an explanation.

loss = alpha x prediction + (1 - alpha) x explanation, each a mean over its OWN tokens of the whole step: a label of two
tokens weighs as much as a rationale of eighty.  Source: arXiv:2305.02301, the form of its code; the paper writes
prediction + lambda x explanation, which at lambda = 1 is twice this at alpha = 0.5.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Annotated, Literal

from pydantic import Field

from whit.core.answers import completion_text, instruction_beside_form
from whit.core.errors import DataError, RecipeError
from whit.core.rundir import Run
from whit.core.types import Artifact, Example
from whit.data.batch import Document
from whit.data.render import Renderer
from whit.models.adapters import Lora
from whit.objectives._types import Term
from whit.objectives.cross_entropy import cross_entropy
from whit.prompting.zero_shot import zero_shot
from whit.stages._setup import in_epochs, set_up, steps_of, train_and_save
from whit.stages._task import load_task
from whit.stages._traces import Trace, load_traces
from whit.training.loop import Feed
from whit.training.optim import Optim
from whit.verifiers._extract import before_answer

PREDICTION, EXPLANATION = "prediction", "explanation"  # the names of the two terms


def step_by_step(
    start: Artifact,
    run: Run,
    *,
    alpha: Annotated[float, Field(ge=0, le=1)] = 0.5,
    source: Literal["given", "traces"] = "given",
    prediction_prefix: str = "",
    explanation_prefix: str = "explain: ",
    epochs: Annotated[float, Field(gt=0)] | None = None,
    batch_documents: Annotated[int, Field(gt=0)] = 32,
    optim: Optim = Optim(),
    lora: Lora | None = None,
    max_tokens: Annotated[int, Field(ge=0)] = 0,
    recompute: bool = False,
) -> Artifact:
    """Minimise alpha x prediction + (1 - alpha) x explanation on the training split until the budget is spent.

    alpha: 1 is `sft` on bare answers, to the bit; 0 trains on explanations alone.
    source: rationales "given" by the data, or the "traces" that the stage before made: what they say before they state an
        answer. An example with several takes another one each epoch. The label is the gold answer whatever they state.
    prediction_prefix, explanation_prefix: what stands before the prompt in each view. The paper's code writes "predict: "
        for the first; the task's own prompt is kept here, so that what is measured is what was trained. The explanation's
        prompt does not ask for a form of answer, since the rationale gives none.
    batch_documents: examples a step; each of them is two documents.
    An example without a rationale is only predicted. Counted in the outcome, and so are rationales of traces that are
    judged wrong: they contradict the label.
    Raises DataError when no example has a rationale, and RecipeError when the two views could not be told apart.
    """
    if 0 < alpha < 1 and prediction_prefix == explanation_prefix:
        raise RecipeError(
            f"stage step_by_step: prediction_prefix and explanation_prefix are both {prediction_prefix!r}, so the model "
            "could not know which of the two is asked for. Give one of them another text."
        )
    examples = load_task(run.task).take("train")
    traces = load_traces(start, "step_by_step") if source == "traces" and alpha < 1 else None
    texts = rationales(examples, traces) if alpha < 1 else [[] for _ in examples]
    trainee = set_up(start, run, "sft", optim, lora, max_tokens=max_tokens, recompute=recompute)
    found = [
        views(trainee.renderer, example, own, prediction_prefix, explanation_prefix)
        for example, own in zip(examples, texts, strict=True)
        if alpha or own
    ]
    # sft's own stream: at alpha = 1 the two are one training.
    indices = in_epochs(len(found), batch_documents, run.seed, "sft-order", epochs)

    def producer(step: int, progress: float) -> Feed | None:
        chosen = indices(step)
        if chosen is None:
            return None
        documents = list[Document]()
        for place, index in enumerate(chosen, step * batch_documents):
            prediction, explanations = found[index]
            documents += [prediction] if alpha else []
            if explanations and alpha < 1:
                documents.append(explanations[place // len(found) % len(explanations)])
        return Feed(documents)

    terms = [Term(cross_entropy, alpha, name=PREDICTION), Term(cross_entropy, 1 - alpha, name=EXPLANATION)]
    counts = {
        "examples": len(found), "explained": sum(map(bool, texts)),
        "contradicting": sum(trace.correct is False for trace in traces or ()),
    }  # fmt: skip
    run.notify({"views": counts})
    return train_and_save(
        trainee, run, [term for term in terms if term.weight], producer,
        num_steps=steps_of(len(found), batch_documents, epochs), views=counts,
    )  # fmt: skip


def rationales(examples: Sequence[Example], traces: Sequence[Trace] | None) -> list[list[str]]:
    """The different rationales of each example, without the sentence that states the answer: its traces', or its own.

    Raises DataError when there is none at all.
    """
    if traces is None:
        texts = [[example.rationale or ""] for example in examples]
    else:
        by_id: dict[str, list[str]] = {}
        for trace in traces:
            by_id.setdefault(trace.id, []).append(trace.text)
        texts = [by_id.get(example.id, []) for example in examples]
    found = [list(dict.fromkeys(filter(None, map(before_answer, own)))) for own in texts]
    if not any(found):
        raise DataError(
            "stage step_by_step: no training example has a rationale. Take data with worked solutions, put a stage that "
            'makes traces before this one and set source = "traces", or set alpha = 1 for bare answers.'
        )
    return found


def views(
    renderer: Renderer,
    example: Example,
    texts: Sequence[str],
    prediction_prefix: str = "",
    explanation_prefix: str = "explain: ",
) -> tuple[Document, list[Document]]:
    """The prediction of an example, and an explanation for each of its rationales; each counts in its own term alone."""
    asked = zero_shot(replace(example, prompt=prediction_prefix + example.prompt))
    prediction = renderer.document(asked, completion_text(example, with_rationale=False))
    beside = replace(example, prompt=explanation_prefix + example.prompt, instruction=instruction_beside_form(example))
    explanations = [renderer.document(zero_shot(beside), text) for text in texts]
    return (
        replace(prediction, weights={EXPLANATION: 0.0}),
        [replace(document, weights={PREDICTION: 0.0}) for document in explanations],
    )
