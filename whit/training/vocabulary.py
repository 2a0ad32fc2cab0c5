"""The signals that an objective may name, and whether the terms of a loss can be made of them. The vocabulary is closed."""

from collections.abc import Sequence

from whit.core.errors import PartError, did_you_mean
from whit.core.parts import inputs
from whit.objectives._types import Term
from whit.training.guide import GUIDED
from whit.training.teachers import Teacher

RECORDED = (
    "advantages_T", "class_T", "kept_ids_TK", "kept_logprobs_TK", "kept_shares_TK", "noise_TK", "old_logprobs_T",
    "old_values_T", "pass_rate_T", "reference_logprobs_T", "returns_T", "rollout_logprobs_T",
)  # fmt: skip
MADE = (
    "coordinates_TLK", "entropy_T", "group_logprobs_GV", "hidden_TLE", "interpolation", "labels_T", "logits_TV",
    "logprobs_T", "offset_T", "outside_TL", "progress", "push_TLD", "sequence_T", "states_TLD", "values_T",
)  # fmt: skip
TAUGHT = (
    "common_ids_C", "teacher_common_ids_C", "teacher_group_logprobs_GW", "teacher_hidden_TLE", "teacher_logits_TV",
    "teacher_logprobs_T",
)  # fmt: skip
CHUNKED = ("_TV", "_TK", "_TL", "_TLD", "_TLE", "_TLK", "_GV")  # of a chunk of rows only


def check_terms(
    terms: Sequence[Term], teacher: Teacher | None, *, has_values: bool = False, has_guide: bool = False
) -> None:
    """Raises PartError for a signal that does not exist, cannot be chunked, or that nothing is there to make.

    Terms are told apart by name, so two of one name are refused too.
    """
    names = [term.name for term in terms]
    for name in names:
        if names.count(name) > 1:
            raise PartError(f"two terms of the loss are called '{name}'. Give one of them a name of its own.")
    for term in terms:
        named = inputs(term.objective)
        for name in named:
            known = RECORDED + MADE + TAUGHT
            if name not in known:
                raise PartError(f"objective '{term.name}' names the signal '{name}'.{did_you_mean(name, known)}")
            if name == "values_T" and not has_values:
                raise PartError(f"objective '{term.name}' needs a value head, which the algorithm ppo has.")
            if name in GUIDED and not has_guide:
                raise PartError(
                    f"objective '{term.name}' compares states with a task space. The stage sft does so with "
                    f"space = {{ loss = '{term.name}' }}."
                )
            if name in TAUGHT and teacher is None:
                raise PartError(
                    f"objective '{term.name}' needs a teacher. Set teacher = a model directory in the recipe."
                )
            if name in TAUGHT and teacher is not None and name not in teacher.gives:
                raise PartError(
                    f"objective '{term.name}' needs the signal '{name}', and this teacher gives "
                    f"{', '.join(sorted(teacher.gives))}. {_INSTEAD.get(name, '')}"
                )
        if "sequence_T" in named and any(name.endswith(CHUNKED) or name in TAUGHT for name in named):
            raise PartError(
                f"objective '{term.name}' names sequence_T and a signal of the vocabulary or the teacher: "
                "it cannot be chunked, and these never exist for a whole sequence."
            )


_INSTEAD = {
    "teacher_logits_TV": "A teacher of another tokenizer is compared by uld or byte_merge, or distilled through text.",
    "teacher_logprobs_T": "A teacher of another tokenizer is compared by uld or byte_merge, or distilled through text.",
    "teacher_group_logprobs_GW": "A teacher of the student's own tokenizer is compared by forward_kl and its kin.",
    "teacher_hidden_TLE": "Hidden states need a live teacher of the student's tokenizer, and hidden_layers.",
}
