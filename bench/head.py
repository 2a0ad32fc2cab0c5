"""Head and loss at a vocabulary of 152k, forward and backward, rows a second, against float32 logits held whole.

    python bench/head.py [--rows 1024] [--width 896] [--vocabulary 151936] [--rounds 5]

The guard is the loss and the norm of the gradient of the hidden states. `added_bytes` is the peak over what the process
held before: the head's weight, its master and the hidden states.
"""

import argparse
import time

from _rounds import Figures, compare, peak_bytes

TIMES = 2  # the first one finds memory


def whit(arguments: argparse.Namespace) -> Figures:
    import torch
    from torch import nn

    from whit.core.memory import held_bytes
    from whit.data.batch import Document, collate
    from whit.models.causal import CausalLM, Head
    from whit.objectives._types import Term
    from whit.objectives.cross_entropy import cross_entropy
    from whit.training.optim import Optim, Optimizer
    from whit.training.signals import Forward, accumulate

    class HeadOnly(CausalLM):
        """Hands its hidden states over: what is measured is what comes after them."""

        def __init__(self, hidden: torch.Tensor, weight: torch.Tensor):
            super().__init__()
            self.hidden, self.weight = hidden, nn.Parameter(weight)

        def forward(self, tokens_L, positions_L, attention):
            return self.hidden

        def head(self) -> Head:
            return Head(self.weight)

    hidden_LD, weight_VD, labels_T = tensors(arguments)
    hidden_LD = hidden_LD.bfloat16().requires_grad_()
    model = HeadOnly(hidden_LD, weight_VD.bfloat16())
    optimizer = Optimizer(model, Optim(), 1e-3)
    optimizer.add_gradient(model.weight, torch.zeros_like(model.weight))
    batch = collate([Document(ids=[0, *labels_T.tolist()], spans=((1, arguments.rows + 1),))], torch.device("cpu"))
    held = held_bytes()
    for _ in range(TIMES):
        hidden_LD.grad = None
        started = time.perf_counter()
        sums = accumulate(
            Forward(model), batch, [Term(cross_entropy)], {"cross_entropy": [1 / arguments.rows]}, optimizer, 0.0
        )
        seconds = time.perf_counter() - started
    return {
        "rows_per_second": arguments.rows / seconds, "added_bytes": peak_bytes() - held,
        "loss": float(sums.terms["cross_entropy"]), "grad_norm": float(hidden_LD.grad.float().norm()),
    }  # fmt: skip


def unfused(arguments: argparse.Namespace) -> Figures:
    import torch.nn.functional as F  # noqa: N812

    from whit.core.memory import held_bytes

    hidden_LD, weight_VD, labels_T = tensors(arguments)
    hidden_LD.requires_grad_()
    weight_VD.requires_grad_()
    held = held_bytes()
    for _ in range(TIMES):
        hidden_LD.grad = weight_VD.grad = None
        started = time.perf_counter()
        loss = F.cross_entropy(F.linear(hidden_LD[:-1], weight_VD), labels_T)
        loss.backward()
        seconds = time.perf_counter() - started
    return {
        "rows_per_second": arguments.rows / seconds, "added_bytes": peak_bytes() - held, "loss": float(loss),
        "grad_norm": float(hidden_LD.grad.norm()),
    }  # fmt: skip


def tensors(arguments: argparse.Namespace) -> tuple:
    """Hidden states of one row more than is scored, the head's weight, the labels."""
    import torch

    generator = torch.Generator().manual_seed(0)
    hidden_LD = torch.randn(arguments.rows + 1, arguments.width, generator=generator)
    weight_VD = 0.05 * torch.randn(arguments.vocabulary, arguments.width, generator=generator)
    return hidden_LD, weight_VD, torch.randint(0, arguments.vocabulary, (arguments.rows,), generator=generator)


def options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--rows", type=int, default=1024)
    parser.add_argument("--width", type=int, default=896)
    parser.add_argument("--vocabulary", type=int, default=151_936)


if __name__ == "__main__":
    compare("head", {"whit": whit, "unfused": unfused}, figure="rows_per_second", guard=("loss", "grad_norm"),
            options=options, aims={"unfused": (1.0, 0.0)})  # fmt: skip
