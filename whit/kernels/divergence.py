"""Divergences of two rows of logits without copies of them: the compiled form beside an objective's definition.

`fused` stands above the definition. It takes its place for bfloat16 logits on a CPU that has compiled operators; everywhere
else, and for a teacher that is trained as well, the definition runs.
"""

from collections.abc import Callable
from functools import wraps
from inspect import signature
from typing import Any

import torch
from torch import Tensor

from whit.kernels.build import native, runs

KINDS = (
    "forward_kl", "reverse_kl", "symmetric_kl", "generalised_jsd", "skew_kl", "skew_reverse_kl", "total_variation", "taid",
)  # fmt: skip
SHARES = ("alpha", "beta", "interpolation")  # what a definition calls the share of its mixture
# At these shares a definition is another one: generalised JSD is a KL itself, and skew KL without skew.
ENDS = {("generalised_jsd", 0.0): "forward_kl", ("generalised_jsd", 1.0): "reverse_kl",
        ("skew_kl", 0.0): "forward_kl", ("skew_reverse_kl", 0.0): "reverse_kl"}  # fmt: skip


def fused(definition: Callable[..., Tensor]) -> Callable[..., Tensor]:
    """The definition, or its compiled form where the logits allow one.

    Where one side rules out (-inf) what the other does not, the compiled value is very large instead of infinite.
    """
    named = signature(definition)

    @wraps(definition)
    def loss(*arguments: Any, **settings: Any) -> Tensor:
        given = named.bind(*arguments, **settings)
        given.apply_defaults()
        values = given.arguments
        student_TV, teacher_TV = values["logits_TV"], values["teacher_logits_TV"]
        if (
            teacher_TV.requires_grad
            or not runs(student_TV, teacher_TV)
            or not _rows_stand_alone(student_TV, teacher_TV)
        ):
            return definition(*arguments, **settings)
        share = next((float(values[name]) for name in SHARES if name in values), 0.0)
        kind = ENDS.get((definition.__name__, share), definition.__name__)
        chosen = (KINDS.index(kind), values.get("temperature", 1.0), share, float(values.get("detach_mixture", False)))
        found: Tensor = _Compiled.apply(student_TV, teacher_TV, *chosen)  # type: ignore[no-untyped-call]
        return found

    return loss


def _rows_stand_alone(*logits: Tensor) -> bool:
    """Whether each row is one stretch of memory: true of whole logits, and of a slice of their vocabulary."""
    return all(logits_TV.stride(1) == 1 for logits_TV in logits)


class _Compiled(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, student_TV: Tensor, teacher_TV: Tensor, kind: int, temperature: float, share: float, detached: float
    ) -> Tensor:
        assert student_TV.shape == teacher_TV.shape  # C++ does not look
        value_T, norms_T4 = torch.empty(len(student_TV)), torch.empty(len(student_TV), 4)
        how = (student_TV.stride(0), teacher_TV.stride(0), kind, 1 / temperature, share, detached)
        native().divergence(
            student_TV.data_ptr(), teacher_TV.data_ptr(), value_T.data_ptr(), norms_T4.data_ptr(), *student_TV.shape,
            *how, torch.get_num_threads(),
        )  # fmt: skip
        ctx.save_for_backward(student_TV, teacher_TV, norms_T4)
        ctx.how, ctx.factor = how, temperature**2
        return value_T * temperature**2

    @staticmethod
    def backward(ctx: Any, grad_T: Tensor) -> tuple[Tensor | None, ...]:  # type: ignore[override]
        student_TV, teacher_TV, norms_T4 = ctx.saved_tensors
        scale_T = (grad_T.float() * ctx.factor).contiguous()
        out_TV = torch.empty(student_TV.shape, dtype=student_TV.dtype)
        native().divergence_backward(
            student_TV.data_ptr(), teacher_TV.data_ptr(), norms_T4.data_ptr(), scale_T.data_ptr(), out_TV.data_ptr(),
            *student_TV.shape, *ctx.how, torch.get_num_threads(),
        )  # fmt: skip
        return out_TV, None, None, None, None, None
