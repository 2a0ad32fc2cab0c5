"""From rewards to the advantage of every token: what an algorithm, a penalty in the reward and corrections make of them.

Every surrogate is linear in the advantage, so a weight of a token is a factor of its advantage.
"""

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Literal

import torch
from pydantic import Field
from torch import Tensor

from whit.algorithms._advantages import generalised_advantages
from whit.algorithms._types import Algorithm, Critic
from whit.core.settings import Frozen
from whit.data.batch import Document
from whit.objectives.reference_kl import Estimator, estimate


class Correction(Frozen):
    """The sampler's log-probabilities against the trainer's, both of the policy that sampled: how tokens that the two see
    differently count.  Source: Yao et al. 2025, "Your efficient RL framework secretly brings you off-policy RL training".

    level: w = exp(trainer - sampler) of each token, of a completion's product, or of the geometric mean of its tokens.
    rule: "truncate" multiplies advantages by min(w, cap); "mask" takes them away where w is above cap or below 1 / cap.
    cap: of w; TRL takes 3 with masks of sequences, verl 2. A geometric mean needs far less: 1.001 to 1.01.
    """

    level: Literal["token", "sequence", "geometric"] = "token"
    rule: Literal["truncate", "mask"] = "truncate"
    cap: float = Field(2.0, gt=1)


def credited(
    documents: Sequence[Document],
    algorithm: Algorithm,
    *,
    kl_in_reward: float = 0.0,
    estimator: Estimator = "k1",
    correction: Correction | None = None,
    top_entropy: float = 1.0,
) -> tuple[list[Document], dict[str, float]]:
    """The documents with `advantages_T`, for a critic `returns_T` too; and what is to be shown of the credit.

    documents: from `to_documents`, whole groups in any order. `old_logprobs_T`, `reference_logprobs_T`, `old_values_T` and
        `entropies_T` stand on them as far as they are needed; entropies are taken away.
    kl_in_reward: weight of the estimate of KL(policy || reference): of a token for a critic, else summed over the
        completion. estimator: k1 is log policy - log reference.
    top_entropy: share of the tokens, those of highest entropy, that keep their advantage (arXiv:2506.01939: 0.2).
    """
    if not documents:
        return [], {}
    penalties = [kl_in_reward * estimate(_distance(d), estimator) if kl_in_reward else None for d in documents]
    told: dict[str, float] = {}
    returns: list[Tensor] | None = None
    if algorithm.critic is None:
        rewards = [
            d.facts["reward_N"] - (0.0 if penalty_T is None else float(penalty_T.sum()))
            for d, penalty_T in zip(documents, penalties, strict=True)
        ]
        advantages = _by_group(documents, rewards, algorithm)
    else:
        advantages, returns = _by_critic(documents, penalties, algorithm.critic)
    if correction is not None:
        factors, told = _corrections(documents, correction)
        advantages = [own_T * factor_T for own_T, factor_T in zip(advantages, factors, strict=True)]
    if top_entropy < 1:
        entropies = [_values(d, "entropies_T") for d in documents]
        least = _quantile(torch.cat(entropies), 1 - top_entropy)
        advantages = [own_T * (own >= least) for own_T, own in zip(advantages, entropies, strict=True)]
    made = []
    for index, document in enumerate(documents):
        recorded = {**document.recorded, "advantages_T": advantages[index].tolist()}
        recorded.pop("entropies_T", None)
        if returns is not None:
            recorded["returns_T"] = returns[index].tolist()
        if not (algorithm.drop_truncated and document.facts["is_truncated_N"]):
            made.append(replace(document, recorded=recorded))
    return made, told


def _by_group(documents: Sequence[Document], rewards: Sequence[float], algorithm: Algorithm) -> list[Tensor]:
    """The advantage of a rollout on each of its tokens. Groups are found by their number, never by their place."""
    members: dict[float, list[int]] = {}
    for index, document in enumerate(documents):
        members.setdefault(document.facts["group_N"], []).append(index)
    found = algorithm.credit([[rewards[i] for i in own] for own in members.values()])
    if algorithm.weigh is not None:
        weights = algorithm.weigh([[bool(documents[i].facts["is_right_N"]) for i in own] for own in members.values()])
        found = [weight * own_G for weight, own_G in zip(weights, found, strict=True)]
    of_document = {
        i: float(value)
        for own, values_G in zip(members.values(), found, strict=True)
        for i, value in zip(own, values_G)
    }
    return [torch.full((d.num_supervised,), of_document[i]) for i, d in enumerate(documents)]


def _by_critic(
    documents: Sequence[Document], penalties: Sequence[Tensor | None], critic: Critic
) -> tuple[list[Tensor], list[Tensor]]:
    """Whitened advantages, and returns. The reward is that of the last token; a penalty that of its own."""
    advantages, returns = [], []
    for document, penalty_T in zip(documents, penalties, strict=True):
        rewards_T = torch.zeros(document.num_supervised) if penalty_T is None else -penalty_T
        rewards_T[-1] += document.facts["reward_N"]
        own = generalised_advantages(rewards_T, _values(document, "old_values_T"), gamma=critic.gamma, lam=critic.lam)
        advantages.append(own[0])
        returns.append(own[1])
    together = torch.cat(advantages)
    spread = together.std(unbiased=False)
    if spread < 1e-8:
        return [torch.zeros_like(own) for own in advantages], returns
    return [(own - together.mean()) / (spread + 1e-8) for own in advantages], returns


def _corrections(documents: Sequence[Document], correction: Correction) -> tuple[list[Tensor], dict[str, float]]:
    """A factor for each token, and how far apart sampler and trainer are."""
    factors, largest, changed, count = [], 0.0, 0.0, 0
    for document in documents:
        gap_T = _values(document, "old_logprobs_T") - _values(document, "rollout_logprobs_T")
        if correction.level == "sequence":
            gap_T = gap_T.sum().expand_as(gap_T)
        elif correction.level == "geometric":
            gap_T = gap_T.mean().expand_as(gap_T)
        weight_T = gap_T.clamp(-20, 20).exp()
        if correction.rule == "truncate":
            factor_T = weight_T.clamp(max=correction.cap)
            outside_T = weight_T > correction.cap
        else:
            outside_T = (weight_T > correction.cap) | (weight_T < 1 / correction.cap)
            factor_T = (~outside_T).float()
        factors.append(factor_T)
        largest = max(largest, float(gap_T.abs().max()))
        changed += float(outside_T.sum())
        count += len(gap_T)
    return factors, {"correction_largest": largest, "corrected": changed / count}


def _quantile(values_T: Tensor, share: float) -> float:
    """Between the two values that the share falls on, as torch.quantile, which takes no more than 2^24 of them."""
    ordered = values_T.sort().values
    place = share * (len(ordered) - 1)
    low, high = ordered[math.floor(place)], ordered[math.ceil(place)]
    return float(low + (place - math.floor(place)) * (high - low))


def _distance(document: Document) -> Tensor:
    """log policy - log reference of each token."""
    name = "old_logprobs_T" if "old_logprobs_T" in document.recorded else "rollout_logprobs_T"
    return _values(document, name) - _values(document, "reference_logprobs_T")


def _values(document: Document, name: str) -> Tensor:
    return torch.as_tensor(document.recorded[name], dtype=torch.float32)
