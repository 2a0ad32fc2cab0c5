"""What the first stage of a recipe trains on, as tokens: loads a tokenizer and the task, no weights."""

from whit.core.errors import RecipeError
from whit.recipes.pipeline import start_artifact
from whit.recipes.recipe import Recipe
from whit.stages._preview import Sample, sample_documents
from whit.stages._supplies import source_of
from whit.stages._task import load_task


def preview(recipe: Recipe, count: int) -> list[Sample]:
    """The first `count` training examples, rendered as the first stage renders them."""
    start = start_artifact(recipe)
    if start is None or recipe.task is None:
        raise RecipeError("inspect needs a model and a task: add model=DIR task=NAME-OR-FILE.")
    source = source_of(recipe.resolved()["stage"][0], has_rationales=load_task(recipe.task).has_rationales)
    return sample_documents(start.path, recipe.task, count, template=recipe.template, source=source)
