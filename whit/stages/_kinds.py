"""What kind of thing a stage does, read off its signature, for whoever has to know it before the stage runs."""

from whit.core.parts import find, options

FREE = ("mix", "specialize")  # they ask no model: nothing of a budget is theirs


def makes_data(kind: str) -> bool:
    """Whether a stage of whit's own makes traces and no weights: it has no optimizer. Stages of a user's own may do both."""
    return ":" not in kind and "optim" not in options(find("stage", kind))
