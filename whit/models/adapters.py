"""Low-rank adapters, through PEFT: a frozen model with a small trained difference in its linear layers.

Source: arXiv:2106.09685.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812
from pydantic import Field
from torch import Tensor, nn

from whit.core.errors import ModelError, RecipeError, did_you_mean
from whit.core.rundir import saving
from whit.core.seeds import key64
from whit.core.settings import Frozen
from whit.models.causal import CausalLM
from whit.models.hub import HubDecoder
from whit.models.load import write_tensors

NAME = "default"  # PEFT's name of the only adapter


class Lora(Frozen):
    """Adapters of rank `rank`, scaled by alpha / rank. targets: names of the linear layers that get one."""

    rank: int = Field(16, gt=0)
    alpha: int = Field(32, gt=0)
    dropout: float = Field(0.0, ge=0, lt=1)
    targets: tuple[str, ...] = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")


def add_lora(decoder: CausalLM, lora: Lora, seed: int) -> None:
    """Put adapters into a model, in its dtype, and freeze the rest; at first they change nothing.

    Raises RecipeError when the model has no layer of a target's name, ModelError when PEFT is not installed.
    """
    peft, root = _peft(), _root(decoder)
    _check_targets(decoder, lora)
    with torch.random.fork_rng(devices=[]):
        peft.inject_adapter_in_model(_config(lora), root, adapter_name=NAME)
    generator = torch.Generator().manual_seed(key64(seed, "lora") % 2**63)
    for _, layer in _layers(root):
        weight = layer.lora_A[NAME].weight
        bound = weight.shape[1] ** -0.5  # PEFT's default; drawn here so that it depends on the seed alone
        first = torch.empty(weight.shape).uniform_(-bound, bound, generator=generator)
        with torch.no_grad():
            weight.copy_(first)
        if lora.dropout:
            layer.lora_dropout[NAME] = _Dropout(lora.dropout)


def merge_lora(decoder: CausalLM) -> None:
    """Add the adapters to the weights and put the plain layers back: an ordinary model again, all of it trainable."""
    root = _root(decoder)
    for name, layer in list(_layers(root)):
        layer.merge()
        parent, _, leaf = name.rpartition(".")
        setattr(root.get_submodule(parent), leaf, layer.get_base_layer())
    del root.peft_config
    decoder.requires_grad_(True)


def save_lora(decoder: CausalLM, directory: Path, lora: Lora, base: str) -> None:
    """The adapters in PEFT's format. base: the model that they belong to, as PEFT will look for it."""
    weights = _peft().get_peft_model_state_dict(_root(decoder), adapter_name=NAME, save_embedding_layers=False)
    weights = {f"base_model.model.{name}": tensor.detach().cpu().contiguous() for name, tensor in weights.items()}
    with saving(directory):
        directory.mkdir(parents=True, exist_ok=True)
        _config(lora, base).save_pretrained(directory)
        write_tensors(weights, directory / "adapter_model.safetensors", like=directory / "adapter_config.json")


@contextmanager
def adapters_off(decoder: CausalLM) -> Iterator[None]:
    """Inside, the model is the one that the adapters were added to: the reference of a KL penalty."""
    layers = [layer for _, layer in _layers(_root(decoder))]
    for layer in layers:
        layer.enable_adapters(False)
    try:
        yield
    finally:
        for layer in layers:
            layer.enable_adapters(True)


class _Dropout(nn.Module):
    """Dropout wherever a gradient is taken. PEFT's follows the training mode, in which whit also samples and scores."""

    def __init__(self, p: float):
        super().__init__()
        self.p = p

    def forward(self, x: Tensor) -> Tensor:
        return F.dropout(x, self.p, training=torch.is_grad_enabled())


def _peft() -> Any:
    try:
        import peft
    except ImportError:
        raise ModelError("adapters need the package peft: pip install 'whit[lora]'.") from None
    return peft


def _root(decoder: CausalLM) -> nn.Module:
    """The module whose names are those of the published weights."""
    return decoder.network if isinstance(decoder, HubDecoder) else decoder  # type: ignore[no-any-return]


def _layers(root: nn.Module) -> Iterator[tuple[str, Any]]:
    from peft.tuners.lora import LoraLayer

    return ((name, module) for name, module in root.named_modules() if isinstance(module, LoraLayer))


def _config(lora: Lora, base: str | None = None) -> Any:
    return _peft().LoraConfig(
        r=lora.rank, lora_alpha=lora.alpha, lora_dropout=lora.dropout, target_modules=list(lora.targets),
        task_type="CAUSAL_LM", base_model_name_or_path=base, inference_mode=base is not None,
    )  # fmt: skip


def _check_targets(decoder: CausalLM, lora: Lora) -> None:
    head = decoder.head().weight
    linear = {
        name.rpartition(".")[2]
        for name, module in decoder.named_modules()
        # Conv1D is GPT-2's linear layer, stored transposed.
        if (isinstance(module, nn.Linear) or type(module).__name__ == "Conv1D") and module.weight is not head
    }
    for target in lora.targets:
        if target not in linear:
            raise RecipeError(f"lora.targets: the model has no linear layer '{target}'.{did_you_mean(target, linear)}")
