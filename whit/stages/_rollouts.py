"""Where the documents of RL come from: prompts chosen, completions sampled, judged, shaped, scored and credited."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial

from torch import Tensor

from whit.algorithms._types import Algorithm
from whit.core.own import Named
from whit.core.rundir import Run
from whit.core.seeds import key64, stream
from whit.core.types import Answered, Example, Group, Shaping
from whit.curricula._types import Curriculum, Tried
from whit.data.batch import Document
from whit.data.render import Renderer
from whit.generation.engine import Engine
from whit.generation.sampler import Sampling
from whit.models.causal import CausalLM
from whit.objectives._types import Term
from whit.objectives.entropy_bonus import entropy_bonus
from whit.objectives.reference_kl import reference_kl
from whit.prompting.zero_shot import zero_shot
from whit.rollouts.batches import is_equal, pass_rate, to_documents
from whit.rollouts.collect import Reward, collect, figures
from whit.rollouts.credit import Correction, credited
from whit.stages._own import checked_shaping
from whit.stages._prepass import prepass
from whit.stages._reference import KL, Reference
from whit.training.guards import Guards
from whit.training.loop import Controller
from whit.training.values import ValueHead

More = Callable[[list[Group]], list[Document]]
Weight = float | Callable[[float], float]


def more_terms(terms: Sequence[Term], kl: KL, entropy: Weight = 0.0) -> tuple[Term, ...]:
    """An algorithm's terms with the penalty for leaving the reference and the bonus for entropy, reduced like its first."""
    first = terms[0]
    added: list[tuple[Callable[..., Tensor], Weight]] = []
    if kl.weight and kl.place == "loss":
        added.append((partial(reference_kl, estimator=kl.chosen, weighted=kl.weighted), kl.weight))
    if entropy:
        added.append((entropy_bonus, entropy))
    own = [
        Term(objective, weight=weight, reduction=first.reduction, constant_length=first.constant_length)
        for objective, weight in added
    ]
    return (*terms, *own)


@dataclass
class Rollouts:
    """Groups of completions as documents, a batch at a time.

    reward, curriculum, shapings: from `_own`, which checks what they give. shapings: change the rewards of a group, in this
        order, after the algorithm's own.
    correction, top_entropy: see `credited`. reference: None where nothing asks for one. values: the head of a critic.
    """

    method: Algorithm
    reward: Reward
    examples: Sequence[Example]
    decoder: CausalLM
    renderer: Renderer
    run: Run
    curriculum: Curriculum
    prompts_per_step: int
    sampling: Sampling
    max_rows: int
    kl: KL
    shapings: Sequence[Shaping] = ()
    correction: Correction | None = None
    top_entropy: float = 1.0
    reference: Reference | None = None
    values: ValueHead | None = None
    guards: Guards = field(init=False)
    _engine: Engine = field(init=False)
    _shapes: Sequence[Shaping] = field(init=False)

    def __post_init__(self) -> None:
        self.guards = Guards(
            lambda warning: self.run.notify({"guard": warning}),
            needs_spread=self.method.above is None and self.method.group_size > 1,
        )
        if self.curriculum.note:
            self.guards.warn("curriculum", self.curriculum.note)
        own = self.method.shape
        first = [checked_shaping(Named(own, f"{self.run.where}.algorithm", "its shape", is_own=False))] if own else []
        self._shapes = [*first, *self.shapings]
        self._engine = Engine(self.decoder, self.renderer.stop_ids, decode=self.renderer.decode, max_rows=self.max_rows)

    @property
    def controllers(self) -> list[Controller]:
        """What has to be saved with the stage."""
        found: list[Controller] = [self.curriculum, self.guards]
        if self.reference is not None:
            found.append(self.reference)
        if hasattr(self.method.credit, "restore"):  # a running baseline
            found.append(self.method.credit)  # type: ignore[arg-type]
        return found

    def batch(self, number: int, more: More | None = None) -> tuple[list[Group], list[Document], dict[str, float]]:
        """Fresh groups, the documents to train on, and what is shown of them. All that it asks of models is charged.

        more: gives documents that join the groups before they are scored and credited.
        """
        groups, refills = self._groups(number)
        documents, dropped = to_documents(groups, self.method)
        documents, told = credited(
            self.scored(documents + (more(groups) if more else [])), self.method,
            kl_in_reward=self.kl.weight if self.kl.place == "reward" else 0.0, estimator=self.kl.chosen,
            correction=self.correction, top_entropy=self.top_entropy,
        )  # fmt: skip
        if self.method.refills:
            told |= {"refills": float(refills), "sampled_prompts": float(len(groups))}
        found = figures(groups)
        self.guards.see(found)
        return groups, documents, {**found, "dropped_groups": float(dropped), **told}

    def _groups(self, number: int) -> tuple[list[Group], int]:
        """Groups of new prompts, and as many more rounds as it takes until enough of them carry a signal, or `refills`."""
        before, tried = self.run.ledger.flops, list[Tried]()
        groups, refills = self._sampled(self.prompts_per_step, number, 0, tried), 0
        while refills < self.method.refills:
            missing = self.prompts_per_step - sum(not is_equal(group) for group in groups)
            each = (self.run.ledger.flops - before) / len(groups)
            # What is sampled has to be trained on too: some three times a forward pass, as sampling takes one.
            if missing <= 0 or not self.run.ledger.fits(each * missing + 3 * each * self.prompts_per_step):
                break
            refills += 1
            groups += self._sampled(missing, number, refills, tried)
        self.curriculum.see(tried)
        return groups, refills

    def _sampled(self, count: int, number: int, refill: int, tried: list[Tried]) -> list[Group]:
        places = self.curriculum.choose(count)
        seed = key64(self.run.seed, "rl-rollouts", number, *([refill] if refill else []))
        chosen = [self._levelled(self.examples[i], seed) for i in places]
        groups = collect(
            self._engine, self.renderer, chosen, zero_shot, self.reward, num_samples=self.method.group_size,
            sampling=self.sampling, seed=seed, ledger=self.run.ledger,
        )  # fmt: skip
        rates = zip(places, map(pass_rate, groups), strict=True)
        tried += [Tried(place, rate) for place, rate in rates if rate is not None]
        if self.method.signal_before_shaping:
            groups = [replace(group, has_signal=not is_equal(group)) for group in groups]
        return [self._shaped(group) for group in groups]

    def _levelled(self, example: Example, seed: int) -> Example:
        """With one of the algorithm's sentences, where it has any: a group shares it."""
        if not self.method.levels:
            return example
        level = stream(seed, "level", example.id).choice(sorted(self.method.levels))
        prompt = f"{example.prompt}\n{self.method.levels[level]}"
        return replace(example, prompt=prompt, metadata={**example.metadata, "level": level})

    def _shaped(self, group: Group) -> Group:
        if self.method.needs_end:
            ended = (r if r.finish == "stop" else replace(r, reward=0.0) for r in group.rollouts)
            group = replace(group, rollouts=tuple(ended))
        for shape in self._shapes:
            limit = self.sampling.max_new_tokens
            answers = [
                Answered(
                    reward=r.reward, limit=limit, text=r.text,
                    correct=r.verdict.correct and (r.finish == "stop" or not self.method.needs_end),
                    length=limit if r.finish == "length" else len(r.segments[-1].ids),
                    level=str(group.example.metadata.get("level", "")),
                )
                for r in group.rollouts
            ]  # fmt: skip
            rewards = shape(answers)
            group = replace(
                group, rollouts=tuple(replace(r, reward=own) for r, own in zip(group.rollouts, rewards, strict=True))
            )
        return group

    def scored(self, documents: list[Document]) -> list[Document]:
        """With all that credit and loss ask for beside the rewards."""
        if self.reference is not None:
            documents = self.reference.record(documents, self.sampling.temperature)
        wanted: list[Callable[[Tensor, Tensor, Tensor], dict[str, Tensor]]] = []
        if self.method.num_updates > 1 or self.correction is not None:
            wanted.append(lambda lp_T, _, __: {"old_logprobs_T": lp_T})
        if self.top_entropy < 1:
            wanted.append(lambda _, entropy_T, __: {"entropies_T": entropy_T})
        if self.values is not None:
            head = self.values
            wanted.append(lambda _, __, hidden_TD: {"old_values_T": head(hidden_TD)})
        if not wanted:
            return documents

        def named(*views: Tensor) -> dict[str, Tensor]:
            return {name: values for make in wanted for name, values in make(*views).items()}

        return prepass(self.decoder, documents, self.run, "prepass", self.sampling.temperature, named)
