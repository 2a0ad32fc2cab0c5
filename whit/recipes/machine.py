"""What a study needs to know of the machine, the model and the task before it can be planned."""

from dataclasses import dataclass

from whit.core.answers import completion_text
from whit.core.errors import ModelError
from whit.core.flops import Shape
from whit.models.config import parse_config
from whit.models.load import load_tokenizer, read_config
from whit.recipes.pipeline import Site, resolve_dtype, start_artifact
from whit.recipes.recipe import Recipe
from whit.stages._probe import Rates, has_fast_bfloat16, probe
from whit.stages._task import load_task

__all__ = ["Rates", "TaskFacts", "measure_rates", "model_shape", "peak_rate", "task_facts"]


@dataclass(frozen=True)
class TaskFacts:
    """Sizes and kinds that decide which pipelines a task allows.

    completion_tokens: of the longest of the first gold completions, in the start model's tokens.
    """

    num_train: int
    num_dev: int
    num_test: int
    has_rationales: bool
    has_short_answers: bool
    completion_tokens: int
    notes: tuple[str, ...]


def task_facts(recipe: Recipe) -> TaskFacts:
    """Loads the task and checks its gold answers. Raises DataError as `load_task` does."""
    task = load_task(recipe.task)
    splits = task.splits
    first = task.take("train")[:500]
    start = start_artifact(recipe)
    assert start is not None
    encode = load_tokenizer(start.path)
    return TaskFacts(
        num_train=len(splits["train"]), num_dev=len(splits["dev"]), num_test=len(splits["test"]),
        has_rationales=task.has_rationales, notes=task.notes,
        has_short_answers=all(e.answer_format == "plain" and not e.rationale for e in first),
        completion_tokens=max(len(encode(completion_text(e))["input_ids"]) for e in first),
    )  # fmt: skip


def model_shape(recipe: Recipe) -> Shape:
    """Sizes of the start model, from its config alone."""
    start = start_artifact(recipe)
    assert start is not None
    config = parse_config(read_config(start.path))
    if config is None:
        raise ModelError(f"{start.path}: its sizes cannot be read from config.json.")
    return config.shape


def measure_rates(recipe: Recipe, site: Site) -> Rates:
    """A few seconds of training and sampling with the start model on this machine, with the threads set now."""
    start = start_artifact(recipe)
    assert start is not None
    return probe(
        start, load_task(recipe.task), dtype=resolve_dtype(recipe, site.device), device=site.device,
        max_new_tokens=recipe.max_new_tokens, template=recipe.template,
    )  # fmt: skip


def peak_rate(width: int) -> float:
    """FLOPs a second of matrix products of this width, with one thread, in the dtype that training would use."""
    import time

    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        dtype = torch.bfloat16 if has_fast_bfloat16() else torch.float32
        a, b = torch.randn(1024, width, dtype=dtype), torch.randn(width, 4 * width, dtype=dtype)
        started, rounds = time.perf_counter(), 0
        while time.perf_counter() - started < 0.3:
            a @ b
            rounds += 1
        return rounds * 8 * 1024 * width * width / (time.perf_counter() - started)
    finally:
        torch.set_num_threads(threads)
