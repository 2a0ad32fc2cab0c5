"""Documents as a step shows them to the policy: the transforms that a recipe asks for, in their order."""

from collections.abc import Callable, Sequence

from whit.core.rundir import Run
from whit.core.seeds import key64
from whit.data.batch import Document
from whit.data.transforms._types import Counts, Transform, surroundings
from whit.models.load import Policy
from whit.models.mask_token import add_mask_token
from whit.objectives._types import Term
from whit.stages._own import PartSpec, made_part

LOOKED_AT = 16  # texts, after which a transform that changed none of them is told of
Transforms = PartSpec | tuple[PartSpec, ...]
Shown = tuple[list[Document], dict[str, float]]
"""Documents, and numbers to write beside the loss."""
Show = Callable[[Sequence[Document], int], Shown]
"""From documents and the number of a step to what is shown of them."""


def shows(transform: Transforms, policy: Policy, run: Run, terms: Sequence[Term]) -> Show:
    """The transforms as one function. A policy that hides tokens gets its mask token from `set_up`."""
    specs = transform if isinstance(transform, tuple) else (transform,)
    made: list[Transform] = [made_part("transform", spec) for spec in specs]
    if not made:
        return lambda documents, step: (list(documents), {})
    words = surroundings(
        policy.tokenizer, add_mask_token(policy), policy.decoder.config.max_length, [term.name for term in terms]
    )

    num_seen, has_changed, is_said = 0, False, False

    def show(documents: Sequence[Document], step: int) -> Shown:
        nonlocal num_seen, has_changed, is_said
        counts, shown = Counts(), list(documents)
        for number, change in enumerate(made):
            shown = change(shown, words, key64(run.seed, "transform", step, *([number] if number else [])), counts)
        num_seen, has_changed = num_seen + len(documents), has_changed or shown != list(documents)
        if num_seen >= LOOKED_AT and not has_changed and not is_said:
            is_said = True
            run.notify({"guard": (
                f"the transform changed none of the first {num_seen} texts, so this trains as without it. Answers may be "
                "too short (longer_than of meap_copy), or share too small: set it, or leave the transform out."
            )})  # fmt: skip
        return shown, counts.seen

    return show
