"""What kind of thing a stage does, read off its signature, for whoever has to know it before the stage runs."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from whit.core.parts import PACKAGES, find, options

# Settings that name a part, and where parts of that kind live.
OF_SETTINGS = {kind: PACKAGES[kind] for kind in ("algorithm", "reward", "form", "shaping", "curriculum", "transform")}
GROUPS = ("rl", "hybrid")  # they sample groups of completions and take a reward
FREE = ("mix", "specialize")  # they ask no model: nothing of a budget is theirs


def inner_rewards(spec: Any) -> dict[str, str]:
    """The rewards that a reward names, such as those of a weighted sum, by where they stand in it: "of.1.reward"."""
    if not isinstance(spec, Mapping):
        return {}
    several = enumerate(spec.get("of") or (), 1)
    named = {"reward": spec.get("reward")}
    named |= {f"of.{number}.reward": one.get("reward") for number, one in several if isinstance(one, Mapping)}
    return {where: name for where, name in named.items() if isinstance(name, str)}


def makes_data(kind: str) -> bool:
    """Whether a stage makes traces and no weights: it has no optimizer. Of a user's own stages nothing is known."""
    return ":" not in kind and "optim" not in options(find("stage", kind))


def needs_teacher(kind: str, settings: Mapping[str, Any]) -> bool:
    """Whether a stage asks the run's teacher. settings: those that the recipe gives; the others have their defaults."""
    if kind in ("rejection", "prefixes"):
        default = options(find("stage", kind))["writer"].default
        return bool(settings.get("writer", default) == "teacher")
    return kind in ("kd", "cache", "minillm", "rsd")


def named_files(settings: Any) -> list[Path]:
    """Every path in the settings of a stage, in order, each once. A setting of type Path is a file that the stage reads."""
    if isinstance(settings, Path):
        return [settings]
    if isinstance(settings, Mapping):
        settings = list(settings.values())
    elif hasattr(settings, "model_fields_set"):  # a model of pydantic's
        settings = [value for _, value in settings]
    if not isinstance(settings, list | tuple):
        return []
    return list(dict.fromkeys(path for value in settings for path in named_files(value)))
