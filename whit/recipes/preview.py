"""What the first stage of a recipe trains on, as tokens: loads a tokenizer and the task, no weights."""

from dataclasses import dataclass

from whit.core.answers import completion_text
from whit.core.errors import RecipeError
from whit.data.render import Renderer
from whit.models.load import generation_stops, load_tokenizer, read_config
from whit.prompting.zero_shot import zero_shot
from whit.recipes.pipeline import start_artifact
from whit.recipes.recipe import Recipe
from whit.stages._task import load_task


@dataclass(frozen=True)
class Sample:
    """One training document: its tokens as text, and which of them are scored."""

    id: str
    tokens: list[str]
    is_supervised: list[bool]

    @property
    def num_supervised(self) -> int:
        return sum(self.is_supervised)


def preview(recipe: Recipe, count: int) -> list[Sample]:
    """The first `count` training examples, rendered as the first stage renders them."""
    start = start_artifact(recipe)
    if start is None or recipe.task is None:
        raise RecipeError("inspect needs a model and a task: add model=DIR task=NAME-OR-FILE.")
    tokenizer = load_tokenizer(start.path)
    limit = int(read_config(start.path).get("max_position_embeddings", 2048))
    renderer = Renderer(tokenizer, max_length=limit, more_stops=generation_stops(start.path), template=recipe.template)
    with_rationale = recipe.stage[0].settings.get("source", "rationales") == "rationales"
    samples = []
    for example in load_task(recipe.task).take("train", count):
        document = renderer.document(zero_shot(example), completion_text(example, with_rationale=with_rationale))
        scored = {position for start_, end in document.spans for position in range(start_, end)}
        tokens = [tokenizer.decode([token]) for token in document.ids]
        samples.append(Sample(example.id, tokens, [i in scored for i in range(len(tokens))]))
    return samples
