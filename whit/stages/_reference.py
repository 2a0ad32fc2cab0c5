"""The model that a policy shall not leave: the one that training began with, or a slow follower of it."""

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import torch
from pydantic import Field, model_validator

from whit.core.errors import RecipeError
from whit.core.rundir import Run
from whit.core.settings import Frozen
from whit.core.types import Artifact
from whit.data.batch import Document
from whit.models.causal import CausalLM
from whit.models.load import load_policy
from whit.objectives.reference_kl import Estimator
from whit.stages._prepass import prepass


class KL(Frozen):
    """The price of leaving the reference.

    weight: 0 keeps no reference. DeepSeekMath takes 0.04, SimpleRL-Zoo 1e-4, RLOO 0.05 in the reward; libraries now 0.
    place: "loss", with a gradient of its own; or "reward", where it is taken from what the completion, or with a critic the
        token, earns.
    estimator: see the objective `reference_kl`; None takes k3 in the loss and k1 in the reward. k1 in the loss needs
        `weighted`, or it has no gradient on average. weighted: of the penalty in the loss.
    every, share: after so many rounds the reference takes this share of the policy's weights (TR-DPO, arXiv:2404.09656:
        0.6 every 512 steps); 0 never moves it.
    """

    weight: float = Field(0.0, ge=0)
    place: Literal["loss", "reward"] = "loss"
    estimator: Estimator | None = None
    weighted: bool = False
    every: int = Field(0, ge=0)
    share: float = Field(0.6, gt=0, le=1)

    @property
    def chosen(self) -> Estimator:
        """The estimator that is used."""
        return self.estimator or ("k3" if self.place == "loss" else "k1")

    @model_validator(mode="after")
    def _it_has_a_gradient(self) -> "KL":
        if self.place == "loss" and self.estimator == "k1" and not self.weighted:
            raise ValueError(
                'estimator="k1" in the loss has no gradient on average. Set weighted = true or place = "reward", or take k2'
            )
        if self.place == "reward" and self.weighted:
            raise ValueError('weighted belongs to place = "loss": what is taken from the reward has no gradient')
        return self


class Reference:
    """It scores documents, and moves if it is told to; a moved one is saved with the stage."""

    name = "reference"

    def __init__(self, start: Artifact, run: Run, policy: CausalLM, kl: KL, *, is_lora: bool):
        if kl.every and is_lora:
            raise RecipeError("kl: a reference cannot follow adapters. Leave `every` out, or train without lora.")
        dtype = "float32" if kl.every else run.dtype  # in bfloat16 a small step would round to none
        self.model = load_policy(start.path, dtype=dtype, device=run.device).decoder
        self.policy, self.kl, self.run = policy, kl, run
        self.rounds = 0

    def record(self, documents: Sequence[Document], temperature: float) -> list[Document]:
        """The documents with `reference_logprobs_T`; one round further."""
        if self.kl.every and self.rounds and self.rounds % self.kl.every == 0:
            self._follow()
        self.rounds += 1
        return prepass(
            self.model, documents, self.run, "reference", temperature, lambda lp_T, *_: {"reference_logprobs_T": lp_T}
        )

    @torch.no_grad()
    def _follow(self) -> None:
        own = dict(self.policy.named_parameters())
        for name, parameter in self.model.named_parameters():
            parameter.lerp_(own[name].to(parameter.dtype), self.kl.share)

    def numbers(self) -> dict[str, float]:
        return {}

    def observe(self, line: Mapping[str, float]) -> None:
        """It moves by rounds, not by what they gave."""

    def state(self) -> dict[str, Any]:
        moved = dict(self.model.named_parameters()) if self.kl.every and self.rounds > self.kl.every else {}
        return {"rounds": self.rounds, **{name: p.detach().cpu() for name, p in moved.items()}}

    @torch.no_grad()
    def restore(self, state: Mapping[str, Any]) -> None:
        self.rounds = state["rounds"]
        for name, parameter in self.model.named_parameters():
            if name in state:
                parameter.copy_(state[name])
