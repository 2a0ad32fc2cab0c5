"""What a stage trains on where no model has to write it, made without loading one: for pre-flight and `whit inspect`."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from whit.core.answers import completion_text
from whit.core.parts import find, options
from whit.core.settings import all_settings
from whit.core.types import Artifact, Example
from whit.data.batch import Document
from whit.data.render import Renderer
from whit.prompting.zero_shot import zero_shot
from whit.stages._kinds import GROUPS, makes_data
from whit.stages._setup import formed
from whit.stages._task import is_file
from whit.stages._texts import read_texts
from whit.stages._traces import Trace, load_traces
from whit.stages.mix import mixed
from whit.stages.specialize import Maker, solutions
from whit.stages.step_by_step import rationales, views

TEXTS = "texts_of"  # beside the settings of a stage kd: the file of texts that it trains on
Rendered = tuple[str, Callable[[], list[Document]]]
"""The id of an example, and what renders a document of it, or several; it raises TemplateError where one is too long."""


def with_texts(stage: Mapping[str, Any], teacher: str | None) -> Mapping[str, Any]:
    """A resolved stage that knows the file of texts which it trains on, where the run's teacher is one."""
    return {**stage, TEXTS: teacher} if stage["kind"] == "kd" and teacher and is_file(teacher) else stage


def is_written(stage: Mapping[str, Any], *, has_rationales: bool) -> bool:
    """Whether a model writes, while a resolved stage runs, the completions that it trains on or makes."""
    kind = stage["kind"]
    if stage.get(TEXTS):
        return False
    if kind == "kd":
        text = stage.get("text") or ("given" if has_rationales else "teacher")
        return text == "teacher" or stage["on_policy"] == 1
    if kind in ("mix", "specialize", "cache"):
        return False
    if kind == "prefixes":
        return bool(stage["writer"] != "traces")
    return kind in (*GROUPS, "minillm") or stage.get("source") == "own" or makes_data(kind)


def given(
    stage: Mapping[str, Any], start: Artifact, examples: Sequence[Example], renderer: Renderer, seed: int = 0
) -> Iterator[Rendered]:
    """What a resolved stage that is not `is_written` trains on or makes of these examples, in the order of the data.

    Raises DataError, at the first, where the stage would.
    """
    kind = stage["kind"]
    if stage.get(TEXTS):
        for written in read_texts(Path(stage[TEXTS]), examples, stage["keep"])[0]:
            yield written.example.id, partial(of_text, renderer, written.example, written.completion)
        return
    if kind == "step_by_step":
        traces = load_traces(start, kind) if stage["source"] == "traces" else None
        explained = rationales(examples, traces) if stage["alpha"] < 1 else [[] for _ in examples]
        for example, texts in zip(examples, explained, strict=True):
            yield example.id, partial(_views, renderer, example, texts, stage)
    elif kind in ("mix", "specialize") or _reads_traces(stage):
        for trace in _traces(stage, start, examples, renderer, seed):
            yield trace.id, partial(_of_trace, renderer, trace)
    else:
        for example, text in _taught(stage, examples):
            yield example.id, partial(of_text, renderer, example, text)


def gold_texts(
    stage: Mapping[str, Any], start: Artifact, examples: Sequence[Example], train: Sequence[Example],
    renderer: Callable[[], Renderer],
) -> list[str]:  # fmt: skip
    """Of each example, the completion that the student should write after a stage that is not `is_written`.

    train: what the stage chooses among. It is the bare answer where answers are taught, or where there is nothing else.
    """
    if stage["kind"] == "mix":
        texts = {trace.id: trace.text for trace in _traces(stage, start, train, renderer(), 0)}
    elif stage.get(TEXTS):
        texts = {t.example.id: t.completion for t in read_texts(Path(stage[TEXTS]), list(examples), stage["keep"])[0]}
    elif stage["kind"] == "step_by_step":
        texts = {}  # it is asked to predict
    elif _reads_traces(stage):
        texts = {trace.id: trace.text for trace in load_traces(start, stage["kind"])}
    else:
        texts = {example.id: text for example, text in _taught(stage, examples)}
    return [texts.get(example.id) or completion_text(example, with_rationale=False) for example in examples]


def _reads_traces(stage: Mapping[str, Any]) -> bool:
    return "traces" in (stage.get("source"), stage.get("text"), stage.get("writer"))


def of_text(renderer: Renderer, example: Example, text: str) -> list[Document]:
    """The one document of a completion."""
    return [renderer.document(zero_shot(example), text)]


def _taught(stage: Mapping[str, Any], examples: Sequence[Example]) -> list[tuple[Example, str]]:
    """Examples with the completions that are taught of them; pre-training takes bare answers where no solution is."""
    if stage["kind"] == "pretrain":
        return [(example, completion_text(example)) for example in examples]
    return formed(examples, _form(stage))[0]


def _form(stage: Mapping[str, Any]) -> str:
    return "answer" if stage.get("source") == "answers" else str(stage.get("form", "rationale"))


def _traces(
    stage: Mapping[str, Any], start: Artifact, examples: Sequence[Example], renderer: Renderer, seed: int
) -> Iterable[Trace]:
    if stage["kind"] == "mix":
        return mixed(renderer, examples, seed, **_settings(stage))[0]
    if stage["kind"] != "specialize":
        return load_traces(start, stage["kind"])
    settings = _settings(stage)
    traces = load_traces(start, "specialize") if settings["source"] == "traces" else None
    found, _ = solutions(examples, traces, renderer, settings["max_per_problem"], seed)
    solved = [example for example in examples if example.id in found]
    return (trace for _, trace in Maker(renderer, solved, found, settings["formats"], settings["demonstrations"], seed))


def _settings(stage: Mapping[str, Any]) -> dict[str, Any]:
    function = find("stage", stage["kind"])
    return all_settings(function, {name: stage[name] for name in options(function) if name in stage}, "stage.1")


def _views(renderer: Renderer, example: Example, texts: Sequence[str], stage: Mapping[str, Any]) -> list[Document]:
    prefixes = (stage["prediction_prefix"], stage["explanation_prefix"])
    prediction, explanations = views(renderer, example, texts[:1], *prefixes)
    return [*([prediction] if stage["alpha"] else []), *explanations]


def _of_trace(renderer: Renderer, trace: Trace) -> list[Document]:
    return [trace.document(renderer)]
