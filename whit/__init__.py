"""whit: which training makes my small language model reason, and what will it cost?

The names below are imported when they are first used: torch alone takes over a second.
"""

import os
from importlib import import_module
from typing import TYPE_CHECKING, Any

# oneDNN and PyTorch's layer over it each keep 1,024 products by their shapes; rows come in ever other numbers, and memory
# would grow for hours (docs/performance.md). They read these once, at the first product.
for _name in ("ONEDNN_PRIMITIVE_CACHE_CAPACITY", "LRU_CACHE_CAPACITY"):
    os.environ.setdefault(_name, "64")

if TYPE_CHECKING:
    from whit.core.errors import WhitError
    from whit.core.types import Artifact, Example, Interval, Message, Verdict
    from whit.data.render import Renderer
    from whit.evaluation.evaluate import evaluate
    from whit.generation.engine import Engine
    from whit.generation.sampler import Sampling
    from whit.models.load import load_policy
    from whit.recipes.execute import execute
    from whit.recipes.export import export_model
    from whit.recipes.pipeline import Site, run_pipeline
    from whit.recipes.recipe import Budget, Recipe
    from whit.recipes.scoring import score
    from whit.report.leaderboard import render as render_leaderboard
    from whit.stages._task import load_task
    from whit.study.planner import plan_study
    from whit.study.run import run_study
    from whit.study.study import Study

__all__ = [
    "Artifact", "Budget", "Engine", "Example", "Interval", "Message", "Recipe", "Renderer", "Sampling", "Site", "Study",
    "Verdict", "WhitError", "evaluate", "execute", "export_model", "load_policy", "load_task", "plan_study",
    "render_leaderboard", "run_pipeline", "run_study", "score",
]  # fmt: skip

_HOMES = {
    "whit.core.errors": ("WhitError",),
    "whit.core.types": ("Artifact", "Example", "Interval", "Message", "Verdict"),
    "whit.data.render": ("Renderer",),
    "whit.evaluation.evaluate": ("evaluate",),
    "whit.generation.engine": ("Engine",),
    "whit.generation.sampler": ("Sampling",),
    "whit.models.load": ("load_policy",),
    "whit.recipes.execute": ("execute",),
    "whit.recipes.export": ("export_model",),
    "whit.recipes.pipeline": ("Site", "run_pipeline"),
    "whit.recipes.recipe": ("Budget", "Recipe"),
    "whit.recipes.scoring": ("score",),
    "whit.report.leaderboard": ("render as render_leaderboard",),
    "whit.stages._task": ("load_task",),
    "whit.study.planner": ("plan_study",),
    "whit.study.run": ("run_study",),
    "whit.study.study": ("Study",),
}


def __getattr__(name: str) -> Any:
    for module, members in _HOMES.items():
        for member in members:
            attribute, _, alias = member.partition(" as ")
            if name == (alias or attribute):
                return getattr(import_module(module), attribute)
    raise AttributeError(f"module 'whit' has no attribute '{name}'")


def __dir__() -> list[str]:
    return sorted(__all__)
