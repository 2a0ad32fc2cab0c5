"""The learning rates that a stage takes when the recipe names none, by stage, full or LoRA, and size. One table.

Sources: pretrain: arXiv:2309.14322 (the best rate falls slowly with width). SFT and KD: 4e-5 full and 1e-4 LoRA at 0.5B,
arXiv:2506.13404; smaller models bear more. RL: 1e-6 full at 0.5B (TRL, verl, arXiv:2506.13404), ten times that for LoRA
(verl's advice). Full rates below 10M parameters were chosen on the micro world's dev split: docs/LOG.md.
"""

from whit.core.flops import Shape
from whit.training.optim import Optim

LEARNING_RATES: dict[tuple[str, str], tuple[tuple[float, float], ...]] = {
    # (stage, "full" or "lora"): (models of up to so many parameters, peak rate), smallest first
    ("pretrain", "full"): ((2e8, 1e-3), (float("inf"), 5e-4)),
    ("sft", "full"): ((1e7, 2.5e-4), (2e8, 1e-4), (float("inf"), 4e-5)),
    ("sft", "lora"): ((1e7, 5e-4), (2e8, 3e-4), (float("inf"), 1e-4)),
    ("kd", "full"): ((1e7, 2.5e-4), (2e8, 1e-4), (float("inf"), 4e-5)),
    ("kd", "lora"): ((1e7, 5e-4), (2e8, 3e-4), (float("inf"), 1e-4)),
    ("rl", "full"): ((1e7, 3e-5), (2e8, 5e-6), (float("inf"), 1e-6)),
    ("rl", "lora"): ((1e7, 1e-4), (2e8, 5e-5), (float("inf"), 1e-5)),
}


def peak_lr(optim: Optim, stage: str, shape: Shape, *, is_lora: bool = False) -> float:
    """The recipe's learning rate, or the table's for this stage and size."""
    if optim.lr is not None:
        return optim.lr
    rows = LEARNING_RATES[stage, "lora" if is_lora else "full"]
    return next(rate for limit, rate in rows if shape.parameters <= limit)
