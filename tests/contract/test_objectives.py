"""Every objective: per token, finite, indifferent to order and chunks, and made of signals that exist."""

import inspect
import math
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.autograd import gradcheck

from whit.core import parts
from whit.objectives._types import Term
from whit.training.vocabulary import MADE, RECORDED, TAUGHT, check_terms

OBJECTIVES = parts.names("objective")
EACH = pytest.mark.parametrize("name", OBJECTIVES)
T, V, W, K, C, L, E = 12, 7, 9, 3, 4, 2, 5
SIZES = {"T": T, "G": T, "V": V, "W": W, "K": K, "L": L, "E": E, "D": E, "C": C}
GRADIENTS_OF = (
    "logits_TV", "logprobs_T", "entropy_T", "values_T", "hidden_TLE", "group_logprobs_GV", "coordinates_TLK", "outside_TL",
    "states_TLD",
)  # fmt: skip


class Everything:
    """A teacher that can make every signal, and is never asked."""

    gives = frozenset(TAUGHT)

    def rows(self, batch: Any) -> Any:
        raise AssertionError

    def flops(self, documents: Any) -> float:
        return 0.0


def draw(name: str, scale: float = 1.0, dtype: torch.dtype = torch.float64) -> dict[str, Any]:
    """Random signals of T tokens, those that the objective names."""
    generator = torch.Generator().manual_seed(0)
    signals: dict[str, Any] = {}
    for signal in parts.inputs(parts.find("objective", name)):
        shape = [SIZES[letter] for letter in signal.rpartition("_")[2] if letter in SIZES]
        if signal in ("progress", "interpolation"):
            signals[signal] = 0.5
        elif signal == "kept_ids_TK":
            signals[signal] = torch.rand(T, V, generator=generator).argsort(-1)[:, :K]
        elif signal.endswith("common_ids_C"):
            signals[signal] = torch.randperm(W if "teacher" in signal else V, generator=generator)[:C]
        elif signal in ("labels_T", "offset_T", "sequence_T"):
            signals[signal] = torch.randint(0, V, (T,), generator=generator).sort().values
        elif signal == "class_T":
            signals[signal] = torch.randint(0, K, (T,), generator=generator)
        elif signal == "kept_logprobs_TK":
            full_TV = scale * torch.randn(T, V, generator=generator, dtype=torch.float64)
            signals[signal] = full_TV.log_softmax(-1)[:, :K].to(dtype)
        elif signal == "kept_shares_TK":
            signals[signal] = torch.randn(shape, generator=generator, dtype=torch.float64).softmax(-1).to(dtype)
        elif signal.endswith(("logprobs_GV", "logprobs_GW")):
            drawn = scale * torch.randn(shape, generator=generator, dtype=torch.float64)
            signals[signal] = drawn.log_softmax(-1).to(dtype)
        elif len(shape) > 1:
            signals[signal] = (scale * torch.randn(shape, generator=generator, dtype=torch.float64)).to(dtype)
        elif "logprobs" in signal:
            signals[signal] = -(scale * torch.rand(T, generator=generator, dtype=torch.float64)).to(dtype)
        else:
            signals[signal] = torch.randn(T, generator=generator, dtype=torch.float64).to(dtype)
    return signals


def at(signals: dict[str, Any], rows: Any) -> dict[str, Any]:
    """The signals of some rows; what is not of rows stays whole."""
    return {
        name: value[rows] if isinstance(value, Tensor) and not name.endswith("_C") else value
        for name, value in signals.items()
    }


def value(name: str, signals: dict[str, Any]) -> Tensor:
    return parts.find("objective", name)(**signals)


@EACH
def test_it_names_known_signals_only(name):
    part = parts.find("objective", name)
    assert set(parts.inputs(part)) <= {*MADE, *RECORDED, *TAUGHT}
    check_terms([Term(part)], Everything(), has_values=True, has_guide=True)


@EACH
def test_its_settings_have_defaults_and_types(name):
    for setting in parts.options(parts.find("objective", name)).values():
        assert setting.default is not inspect.Parameter.empty
        assert setting.annotation is not inspect.Parameter.empty


@EACH
def test_its_docstring_says_what_it_is(name):
    part = parts.find("objective", name)
    assert len(parts.summary(part)) > 20
    assert inspect.getdoc(inspect.getmodule(part)).startswith(tuple("ABCDEFGHIJKLMNOPQRSTUVWXYZ"))


@EACH
@pytest.mark.parametrize("scale", [1.0, 30.0, 0.0])
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
def test_it_gives_a_finite_value_and_gradient_per_token(name, scale, dtype):
    signals = draw(name, scale, dtype)
    trained = [signals[signal].requires_grad_() for signal in GRADIENTS_OF if signal in signals]
    value_T = value(name, signals)
    assert value_T.shape == (T,)
    assert value_T.isfinite().all()
    for gradient in torch.autograd.grad(value_T.sum(), trained):
        assert gradient.isfinite().all()


@EACH
def test_permuting_tokens_permutes_the_value(name):
    if "sequence_T" in parts.inputs(parts.find("objective", name)):
        pytest.skip("tokens of a sequence belong together")
    signals, order = draw(name), torch.randperm(T, generator=torch.Generator().manual_seed(1))
    torch.testing.assert_close(value(name, at(signals, order)), value(name, signals)[order], rtol=1e-12, atol=1e-14)


@EACH
@pytest.mark.parametrize("size", [1, 5])
def test_chunks_give_what_the_whole_gives(name, size):
    if "sequence_T" in parts.inputs(parts.find("objective", name)):
        pytest.skip("it is given whole sequences and never chunked")
    signals = draw(name)
    chunks = [value(name, at(signals, slice(start, start + size))) for start in range(0, T, size)]
    torch.testing.assert_close(torch.cat(chunks), value(name, signals), rtol=1e-12, atol=1e-14)


# Their weights or targets are constants by definition; the gradient is in their own tests.
WITHOUT_GRADIENT_INSIDE = {"adaptive_kl", "clipped_weight", "mixed_policy", "sampled_reverse_kl", "taid"}


@pytest.mark.parametrize("name", sorted(set(OBJECTIVES) - WITHOUT_GRADIENT_INSIDE))
def test_its_gradient_is_right(name):
    signals = draw(name)
    trained = [signal for signal in GRADIENTS_OF if signal in signals]

    def of_trained(*tensors: Tensor) -> Tensor:
        return value(name, {**signals, **dict(zip(trained, tensors, strict=True))})

    assert gradcheck(of_trained, [signals[signal].requires_grad_() for signal in trained])


@EACH
def test_it_leaves_its_signals_alone(name):
    signals = draw(name)
    before = {signal: v.clone() for signal, v in signals.items() if isinstance(v, Tensor)}
    value(name, signals)
    assert all(torch.equal(signals[signal], v) for signal, v in before.items())


def test_a_coefficient_may_follow_the_progress():
    term = Term(parts.find("objective", "cross_entropy"), weight=lambda progress: math.sqrt(progress))
    assert term.coefficient(0.25) == 0.5
    assert term.name == "cross_entropy"
