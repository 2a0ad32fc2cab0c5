"""Settings of a stage that exclude one another, or that nothing would come of: refused when a recipe is read."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from whit.core.errors import RecipeError
from whit.core.parts import inputs
from whit.generation.sampler import Sampling
from whit.stages._kinds import GROUPS, makes_data, needs_teacher
from whit.stages._space import SpaceGuide, check_space
from whit.stages._task import is_file
from whit.stages._teachers import OTHER_TOKENS, SAME_TOKENS, asks, is_cache
from whit.stages._terms import build_terms
from whit.training.guide import GUIDED
from whit.training.interpolation import Interpolation

KEPT = frozenset({"kept_ids_TK", "kept_logprobs_TK", "kept_shares_TK"})
OF_RL = frozenset({"advantages_T", "returns_T", "reference_logprobs_T", "rollout_logprobs_T"})
ONLY_KD = SAME_TOKENS | OTHER_TOKENS | KEPT | {"interpolation", "hidden_TLE", "group_logprobs_GV"}


def check_stage(
    kind: str, settings: Mapping[str, Any], *, before: str | None, teacher: str | None, where: str = ""
) -> None:
    """Raises RecipeError for a stage that could not run, whatever the data.

    settings: all of them. before: the kind of the stage before, None for the first one: its model may have traces.
    where: of the stage, such as "stage.1".
    """
    if kind in GROUPS:
        require_plain(settings["sampling"], kind, where)
    if "traces" in (settings.get("source"), settings.get("text"), settings.get("writer")):
        if before is not None and not makes_data(before):
            raise RecipeError(
                f"stage {kind} trains on traces, and the stage before it, {before}, makes none. Put one that does directly "
                "before it, such as rejection, rsd or mix."
            )
    elif before is not None and makes_data(before) and not settings.get("cached"):
        raise RecipeError(
            f"stage {kind} does not read what the stage before it, {before}, made. Set source, text or writer of {kind} to "
            '"traces", or leave that stage out.'
        )
    if kind != "kd" and teacher is not None and needs_teacher(kind, settings) and (what := _no_model(teacher)):
        raise RecipeError(
            f"stage {kind} asks a live teacher, and {teacher} is {what}. The stage kd trains on it: recipe kd for texts, "
            "kept-kd for logits or top log-probabilities."
        )
    if kind == "sft" and settings.get("space") is not None:
        check_space(SpaceGuide.model_validate(settings["space"]), settings["source"], settings["transform"])
    for term in build_terms(settings.get("terms", ())):
        if GUIDED & set(inputs(term.objective)):
            raise RecipeError(
                f"stage {kind}: objective '{term.name}' compares states with a task space, so it is no term alone. "
                f'The stage sft does so with space = {{ loss = "{term.name}" }}.'
            )
        if kind != "kd" and (wrong := set(inputs(term.objective)) & (ONLY_KD | OF_RL)):
            raise RecipeError(
                f"stage {kind}: objective '{term.name}' needs {', '.join(sorted(wrong))}, which this stage does not "
                "make. Losses that ask a teacher belong to the stage kd."
            )
    if kind == "kd":
        check_kd(settings, before=before, teacher=teacher)


def require_plain(sampling: Sampling, stage: str, where: str) -> None:
    """Raises RecipeError for sampling under which log-probabilities are not those of the trainer."""
    for name, is_plain, needed in (
        ("temperature", sampling.temperature > 0, "more than 0"),
        ("top_p", sampling.top_p == 1, "1"),
        ("top_k", sampling.top_k == 0, "0"),
    ):
        if not is_plain:
            raise RecipeError(
                f"{where}.sampling.{name}: given {getattr(sampling, name):g}; the stage {stage} needs {needed}: its ratio "
                "assumes plain sampling."
            )


def _no_model(teacher: str) -> str:
    """What stands where a model is asked for; "" for anything else."""
    if is_file(teacher):
        return "a file of texts"
    return "a cache of logits" if is_cache(Path(teacher)) else ""


def check_kd(settings: Mapping[str, Any], *, before: str | None, teacher: str | None) -> None:
    """Raises RecipeError for what the stage `kd` cannot do at once."""
    terms, specs = build_terms(settings["terms"]), settings["terms"]
    names = ", ".join(term.name for term in terms)
    text, layers, cached = settings["text"], settings["hidden_layers"], settings["cached"]
    if teacher is not None and is_file(teacher):
        return  # of texts: the stage says what it has no use for
    has_cache = cached or (teacher is not None and is_cache(Path(teacher)))
    has_student = bool(settings["on_policy"] or settings["replay"] or settings["pairs"])
    if sum((settings["on_policy"] > 0, settings["replay"] is not None, settings["pairs"])) > 1:
        raise RecipeError(
            "stage kd: on_policy, replay and pairs each say when the student writes. Leave all but one out."
        )
    if settings["teachers"] and teacher is None:
        raise RecipeError(
            "stage kd: teachers are further ones, beside the recipe's teacher, whose weight is 1. Set teacher at the top "
            "of the recipe to the first of them; weights are shares of their sum."
        )
    if asks(terms, OF_RL):
        raise RecipeError(f"stage kd: the terms are {names}, and it makes no advantages. These belong to the stage rl.")
    if has_student and not asks(terms, SAME_TOKENS | OTHER_TOKENS):
        raise RecipeError(
            "stage kd: the student's own text needs a term that asks a live teacher, such as reverse_kl; the terms are "
            f"{names}."
        )
    if not has_student and any(spec.on == "student" for spec in specs):
        raise RecipeError(
            'stage kd: a term with on = "student" acts on the student\'s own text, and the student writes nothing. Set '
            "on_policy, replay or pairs."
        )
    if settings["on_policy"] == 1 and any(spec.on == "data" for spec in specs):
        raise RecipeError('stage kd: a term with on = "data" never acts where on_policy = 1. Lower on_policy.')
    if asks(terms, frozenset({"hidden_TLE"})) != bool(layers) or (layers and has_cache):
        raise RecipeError(
            "stage kd: hidden states are compared between layers of the student and of a live teacher. Set hidden_layers = "
            "[[student's layer, teacher's layer], ...] (from 0; -1 is the last), a teacher model, and a term that compares "
            "them, such as hidden_mse; or none of these."
        )
    if cached and before is not None and before != "cache":
        raise RecipeError(
            f"stage kd: cached = true, and the stage before it is {before}. Put the stage `cache` before it."
        )
    if asks(terms, KEPT) and not has_cache and teacher is not None:
        raise RecipeError(
            f"stage kd: the terms are {names}, which read a cache of the teacher's logits, and there is none. Put the "
            "stage `cache` before this one and set cached = true, or give a cache (`whit cache`) as teacher."
        )
    if has_cache and (has_student or text == "teacher"):
        raise RecipeError(
            f"stage kd: teacher {teacher} is a cache of what was scored before, and fresh text is not in it. Set "
            'text = "given" or "traces", as it was made, without on_policy, replay and pairs; or give the teacher\'s model.'
        )
    if settings["teachers"] and (has_cache or asks(terms, OTHER_TOKENS) or not asks(terms, SAME_TOKENS)):
        raise RecipeError(
            "stage kd: several teachers are mixed where live ones of the student's tokens are compared; the terms are "
            f"{names}{', and the teacher is a cache' if has_cache else ''}. Leave `teachers` out."
        )
    if settings["interpolation"] != Interpolation() and not asks(terms, frozenset({"interpolation"})):
        raise RecipeError(f"stage kd: interpolation is the schedule of taid, and the terms are {names}. Leave it out.")
    if settings["alignment"] != "bytes" and not asks(terms, OTHER_TOKENS):
        raise RecipeError(f"stage kd: alignment is for uld and byte_merge, and the terms are {names}. Leave it out.")
    if settings["keep"] == "correct" and (text in ("given", "traces") or settings["on_policy"] == 1):
        raise RecipeError(
            'stage kd: keep = "correct" chooses among what the teacher writes, and here it writes nothing: the losses are '
            'taken on given text, or on the student\'s own completions. Set text = "teacher" and on_policy below 1, '
            "or leave keep out."
        )
