"""A decoder's layers compiled by PyTorch, where that pays: tried on the model itself, and left as they are otherwise."""

import statistics
import time
from typing import Any

import torch
from torch import Tensor

from whit.core.flops import train_flops
from whit.kernels.build import runs
from whit.models.causal import CausalLM
from whit.models.decoder import Decoder, angles

COMPILE_SECONDS = 120.0  # that a trial may take, on two cores
WORTH = 10.0  # times that is how much training a trial needs ahead of it
LEAST_GAIN = 0.05  # of a layer's time
TRIALS = 5
# Of the largest value of a tensor.
TOLERANCE = {torch.float64: 1e-9, torch.float32: 1e-4, torch.bfloat16: 0.05, torch.float16: 0.01}


def compile_layers(model: CausalLM, num_tokens: int, flops_left: float | None, *, backend: str = "inductor") -> str:
    """Compile what a layer does around its attention, if that is right and faster. Returns what was done, in words.

    num_tokens: of a micro-batch. flops_left: operations that training will take, None where nobody knows; with too little
        ahead nothing is tried, so that a trial that gains nothing costs a tenth of the training at most.
    """
    if not isinstance(model, Decoder):
        return "not compiled: the layers of this model are transformers' own"
    if runs(next(model.parameters())):
        return "not compiled: this processor has compiled operators for these layers already"
    trial = _Trial(model, num_tokens)
    before = trial.seconds()
    ahead = None if flops_left is None else before * model.config.shape.num_layers * flops_left / trial.flops
    if ahead is not None and ahead < WORTH * COMPILE_SECONDS:
        return (
            f"not compiled: training takes about {ahead:.0f} s, and a trial of compiling up to {COMPILE_SECONDS:.0f} s"
        )
    plain = trial.results()
    try:
        for layer in _layers(model):
            vars(layer)["before"] = torch.compile(layer.before, dynamic=True, backend=backend)
            vars(layer)["after"] = torch.compile(layer.after, dynamic=True, backend=backend)
        found = trial.results()
        after = trial.seconds()
    except Exception as e:  # whatever a compiler may raise: no compiler, no memory, an operator it does not know
        restore_layers(model)
        return f"not compiled: {' '.join(str(e).split())[:160] or type(e).__name__}"
    largest = max(_difference(a, b) for a, b in zip(found, plain, strict=True))
    if largest > TOLERANCE[next(model.parameters()).dtype]:
        restore_layers(model)
        return f"not compiled: the compiled layer's results differ by {largest:.1g}"
    if after > (1 - LEAST_GAIN) * before:
        restore_layers(model)
        return f"not compiled: a compiled layer takes {after / before:.2f} of the time"
    return f"compiled: a layer takes {after / before:.2f} of the time"


def restore_layers(model: Decoder) -> None:
    """The layers as they were."""
    for layer in _layers(model):
        vars(layer).pop("before", None)
        vars(layer).pop("after", None)


def _difference(found: Tensor, expected: Tensor) -> float:
    """The largest, as a share of the largest value; what is not a number differs by everything."""
    return float(((found - expected).abs().max() / expected.abs().max()).nan_to_num(float("inf")))


def _layers(model: Decoder) -> list[Any]:
    return list(model.model.layers)


class _Trial:
    """Forward and backward pass of the first layer, without attention, on random numbers."""

    def __init__(self, model: Decoder, num_tokens: int):
        self.layer, shape = _layers(model)[0], model.config.shape
        parameter = next(model.parameters())
        generator = torch.Generator().manual_seed(0)
        size = (num_tokens, shape.num_heads * shape.head_size)
        self.x_LD = torch.randn(num_tokens, shape.width, generator=generator).to(parameter).requires_grad_()
        self.attended_LD = torch.randn(size, generator=generator).to(parameter)
        positions_L = torch.arange(num_tokens, device=parameter.device)
        self.rope = angles(model.config.rope, positions_L, shape.head_size, parameter.dtype)
        self.is_cuda = parameter.is_cuda
        self.flops = train_flops(shape, num_tokens, 0, 0)  # of all layers: attention and head take their share as well

    def results(self) -> list[Tensor]:
        """Outputs and gradients."""
        q, k, v = self.layer.before(self.x_LD, self.rope)
        out_LD = self.layer.after(self.x_LD, self.attended_LD)
        total = torch.stack([part.float().square().mean() for part in (q, k, v, out_LD)]).sum()
        trained = [p for p in self.layer.parameters() if p.requires_grad]
        grads = torch.autograd.grad(total, [self.x_LD, *trained], allow_unused=True)
        return [part.detach().float() for part in (q, k, v, out_LD, *grads) if part is not None]

    def seconds(self) -> float:
        times = []
        for _ in range(TRIALS):
            self._wait()
            started = time.perf_counter()
            self.results()
            self._wait()
            times.append(time.perf_counter() - started)
        return statistics.median(times[1:])

    def _wait(self) -> None:
        if self.is_cuda:
            torch.cuda.synchronize()
