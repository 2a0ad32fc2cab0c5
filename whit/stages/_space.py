"""Fine-tuning guided by a task space: terms beside the loss that compare hidden states with the labels' directions.

In the style of TS-FT, arXiv:2501.00999, whose equations could not be read: losses, layers and weights are specified by us.
"""

import shutil
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Literal

import torch
from pydantic import Field
from torch import Tensor

from whit.core.errors import BudgetError, RecipeError
from whit.core.files import read_record
from whit.core.parts import inputs
from whit.core.rundir import Run, digest_of
from whit.core.seeds import key64, stream
from whit.core.settings import Frozen
from whit.core.types import Artifact, Example
from whit.core.words import plural, ranges
from whit.data.batch import Document
from whit.data.render import Renderer
from whit.models.adapters import adapters_off
from whit.models.load import Policy, load_policy
from whit.objectives._types import PerToken, Term
from whit.prompting.zero_shot import zero_shot
from whit.spaces.bank import apart
from whit.spaces.build import Pairs, build_space, hinted, labels_of, num_prompts
from whit.spaces.probe import profile_of
from whit.spaces.states import flops_of, last_states
from whit.spaces.task_space import TaskSpace
from whit.stages._own import PartSpec, made_part
from whit.stages._setup import Trainee
from whit.training.guide import GUIDED, Guide, Norm
from whit.training.loop import Feed, step_flops, step_gradient
from whit.training.signals import Forward
from whit.training.teachers import Live

PROBED = 400  # training texts that choose the layers
LOOKS_EVERY, LOOKS_AT = 100, 8  # steps, documents: at the angle between the gradients
NUM_UNDERSTANDING = 2
SOME = 64  # prompts that tell how long all are
PROBE_FACTOR = 10.0  # learning rate of a learned classifier, which begins at 0, in those of the policy
Layer = Annotated[int, Field(ge=0)]


class SpaceGuide(Frozen):
    """How a task space guides a stage.

    loss: an objective that compares states with a space (`whit parts objective`), or a table {name = ..., its settings}.
    compression, selection: weights of its mean over the understanding and over the prediction layers. They grow from 0
        over the first `ramp` of the stage.
    understanding, prediction: layers, from 0; without any, the two of the lower two thirds that a probe reads best, and the
        last third without the last layer.
    pairs, contexts: of `whit space`: what the space is built from, and how many pairs a label.
    space: a directory that `whit space` made of the start model, in the place of building one.
    refresh: steps after which the space is built again, of the weights as they are then; 0 keeps the first.
    norm: what a cosine divides by: the length of what denoising "kept" of a state, or of the whole "state". A space of one
        direction, such as that of two labels, has no gradient with "kept".
    control: "random" has random directions, "learned" a linear classifier that is trained beside the policy.
    """

    loss: PartSpec = "space_cross_entropy"
    compression: float = Field(0.1, ge=0)
    selection: float = Field(0.1, ge=0)
    ramp: float = Field(0.1, ge=0, le=1)
    understanding: tuple[Layer, ...] = ()
    prediction: tuple[Layer, ...] = ()
    pairs: Pairs = "hints"
    contexts: int = Field(64, ge=2)
    space: Path | None = None
    refresh: int = Field(0, ge=0)
    norm: Norm = "kept"
    control: Literal["none", "random", "learned"] = "none"

    @property
    def objective(self) -> Callable[..., PerToken]:
        part: Callable[..., PerToken] = made_part("objective", self.loss, "space.loss")
        return part

    @property
    def is_idle(self) -> bool:
        """Whether nothing comes of it."""
        return not (self.compression or self.selection)


def check_space(guide: SpaceGuide, source: str, transform: Any) -> None:
    """Raises RecipeError for settings of the stage `sft` that have no use, or no meaning, beside a space."""
    named = set(inputs(guide.objective))
    if not named & GUIDED:
        raise RecipeError(
            f"space.loss: {_name(guide)} compares no state with a space. Give space_cross_entropy, space_projection, "
            "space_target or space_bottleneck."
        )
    if guide.control == "learned" and named & {"outside_TL", "push_TLD"}:
        raise RecipeError(
            f'space: control = "learned" is a classifier, and {_name(guide)} reads none. Take loss = "space_cross_entropy".'
        )
    if guide.refresh and (guide.space is not None or guide.control != "none"):
        raise RecipeError(
            "space: `refresh` builds the space of the policy again, which a kept space and a control do not. Leave one out."
        )
    if not isinstance(guide.loss, str) and "places" in guide.loss:
        raise RecipeError("space.loss: `places` follow from the layers. Set space.understanding and space.prediction.")
    plain = SpaceGuide()  # by value: a recipe that was written out whole names every setting
    if guide.space is not None and (guide.pairs, guide.contexts) != (plain.pairs, plain.contexts):
        raise RecipeError(
            "space: `space` is a space that was kept, and `pairs` and `contexts` build one. Leave one out."
        )
    if source not in ("rationales", "answers"):
        raise RecipeError(
            f'stage sft: a space needs the label of each text, which source = "{source}" does not bring. Take "answers".'
        )
    if transform:
        raise RecipeError(
            "stage sft: `space` and `transform` exclude one another: a copy has no state to read a label at."
        )


class Guidance:
    """A space at work in a stage. `guide` is given to `set_up`, then `join` makes terms and models of a step.

    examples: of the training split, one a document, in their order.
    Raises DataError, before a model is loaded, for examples whose answers are no labels.
    """

    terms: list[Term]
    forward: Forward

    def __init__(self, settings: SpaceGuide, run: Run, examples: Sequence[Example]):
        if settings.space is None:
            labels_of(examples)
        self.settings, self.run, self.examples = settings, run, examples
        self.understanding: list[int] = []
        self.prediction: list[int] = []
        self.labels: tuple[str, ...] = ()
        self.last_built = 0

    def guide(self, policy: Policy, renderer: Renderer) -> Guide:
        """The directions, at the layers that count, of the policy as it begins."""
        if self.settings.space is None:
            built, judged = list(self.examples), list[Example]()
            if self._is_probed:  # other texts choose the layers than those that make the space
                share = PROBED / max(4 * PROBED, len(built))
                built, judged = apart(built, share, stream(self.run.seed, "space-probe"))
            self._check_budget(policy, renderer, built, judged)
            space = self._built(policy, renderer, built, None)
        else:
            space = TaskSpace.load(self.settings.space)
            _check_fits(space, self.settings.space, policy, self.examples, self.run.template)
            used = set(read_record(self.settings.space / "space.json").get("texts", ()))
            others = [example for example in self.examples if example.id not in used]
            if self._is_probed and len(others) < 2 * len(space.labels):
                raise RecipeError(
                    f"space.space: {plural(len(others), 'training text')} did not build {self.settings.space}, too few to "
                    "choose layers by. Name space.understanding, or build it of fewer: `whit space --items`."
                )
            judged = stream(self.run.seed, "space-probe").sample(others, min(PROBED, len(others)))
        self.labels = space.labels
        self.understanding, self.prediction = self._layers(space, policy, renderer, judged)
        self._check_directions(space)
        return self._guide(space, policy)

    @property
    def _is_probed(self) -> bool:
        """Whether a probe chooses the layers: those of a weight that is 0 are not asked for."""
        return bool(self.settings.compression) and not self.settings.understanding

    @property
    def layers(self) -> list[int]:
        return sorted({*self.understanding, *self.prediction})

    def join(
        self, trainee: Trainee, start: Artifact, loss: Sequence[Term], documents: list[Document]
    ) -> list[Document]:
        """Make `terms`, those of the loss first, and `forward`. Returns the documents with their labels."""
        self.trainee, self.loss = trainee, list(loss)
        self.own = self._terms()
        self.terms = [*self.loss, *self.own]
        teacher = _before(trainee, start, self.run, tuple(self.layers)) if self._asks("teacher_hidden_TLE") else None
        self.forward = Forward(trainee.policy.decoder, teacher, layers=tuple(self.layers), guide=trainee.guide)
        self.run.notify(
            {"space": {"labels": len(self.labels), "understanding": self.understanding, "prediction": self.prediction}}
        )
        places = {label: place for place, label in enumerate(self.labels)}
        return [
            replace(
                document, recorded={**document.recorded, "class_T": [places[example.gold]] * document.num_supervised}
            )
            for document, example in zip(documents, self.examples, strict=True)
        ]

    def feed(self, documents: list[Document], step: int) -> Feed:
        """What a step trains on, and numbers to write beside the loss. Builds the space again where that is due."""
        every, before = self.settings.refresh, self.run.ledger.flops
        if every and (due := step // every * every) != self.last_built:
            self._renew(due, self._step_flops(documents), is_now=due == step)
        if self._asks("noise_TK"):
            documents = [
                replace(d, recorded={**d.recorded, "noise_TK": self._noise(d, step, place)})
                for place, d in enumerate(documents)
            ]
        looked, numbers = documents[:LOOKS_AT], dict[str, float]()
        if step % LOOKS_EVERY == 0 and self.run.ledger.fits(2 * self._step_flops(looked) + self._step_flops(documents)):
            numbers = {"gradient_cosine": self._cosine(looked)}
        return Feed(documents, numbers, once=self.run.ledger.flops - before)

    def _asks(self, signal: str) -> bool:
        return signal in inputs(self.settings.objective)

    def _terms(self) -> list[Term]:
        """One for each set of layers, a mean over documents; of an objective that looks at every token over tokens."""
        terms, layers = [], self.layers
        for name, weight, chosen in (
            ("compression", self.settings.compression, self.understanding),
            ("selection", self.settings.selection, self.prediction),
        ):
            part = partial(self.settings.objective, places=tuple(layers.index(layer) for layer in chosen))
            reduction: Literal["token", "constant"] = "constant" if self._asks("offset_T") else "token"
            if weight and chosen:
                terms.append(Term(part, partial(_ramped, weight, self.settings.ramp), reduction, name=name))
        return terms

    def _built(
        self, policy: Policy, renderer: Renderer, examples: Sequence[Example], layers: list[int] | None
    ) -> TaskSpace:
        return build_space(
            policy.decoder, renderer, examples, pairs=self.settings.pairs, contexts=self.settings.contexts,
            layers=layers, seed=self.run.seed, ledger=self.run.ledger,
        )  # fmt: skip

    def _check_budget(
        self, policy: Policy, renderer: Renderer, built: Sequence[Example], judged: Sequence[Example]
    ) -> None:
        """Raises BudgetError where the passes that build the space, and choose the layers, leave nothing to train with."""
        number = num_prompts(built, self.settings.pairs, self.settings.contexts) + len(judged)
        self.run.notify({"space": {"labels": len(labels_of(built)), "prompts": number}})
        needed = self._cost(policy, renderer, built, number)
        if not self.run.ledger.fits(needed):
            raise BudgetError(
                f"building the space reads about {number:,} prompts, {needed:.2g} FLOPs, and the stage has "
                f"{self.run.ledger.limit_flops:.2g}: nothing is left to train with. Raise the budget, lower "
                'space.contexts, take space.pairs = "examples", name space.understanding, which spares the probe, or keep '
                "a space (`whit space`) and give it as space.space."
            )

    def _cost(self, policy: Policy, renderer: Renderer, examples: Sequence[Example], number: int) -> float:
        """Operations of reading so many prompts, about."""
        read = hinted(examples[:SOME]) if self.settings.pairs == "hints" else examples[:SOME]
        some = [renderer.prompt(zero_shot(example)) for example in read]
        return flops_of(policy.decoder.config.shape, some, number)

    def _layers(
        self, space: TaskSpace, policy: Policy, renderer: Renderer, judged: Sequence[Example]
    ) -> tuple[list[int], list[int]]:
        """The understanding and the prediction layers: those of the settings, else chosen by a probe on these examples."""
        count, settings = len(policy.decoder.layers()), self.settings
        for name, given in (("understanding", settings.understanding), ("prediction", settings.prediction)):
            if wrong := [layer for layer in given if layer not in space.layers]:
                raise RecipeError(f"space.{name}: there is no layer {wrong[0]}. Give some of 0 to {count - 1}.")
        able = [layer for layer in space.layers if layer not in self._flat(space)]
        lower = [layer for layer in able if layer < max(1, 2 * count // 3)]
        upper = [layer for layer in able if 2 * count // 3 <= layer < count - 1]
        if self._is_probed:
            prompts = [renderer.prompt(zero_shot(example)) for example in judged]
            states_NSD = last_states(policy.decoder, prompts, space.layers, self.run.ledger)
            told = profile_of(space, states_NSD, [space.labels.index(e.gold) for e in judged], self.run.seed)
            accuracy = {layer: one.accuracy for layer, one in zip(space.layers, told, strict=True)}
            lower = sorted(lower, key=lambda layer: -accuracy[layer])[:NUM_UNDERSTANDING]
        found = sorted(settings.understanding or lower), sorted(settings.prediction or upper)
        for weight, name, where, chosen in (
            ("compression", "understanding", "lower two thirds", found[0]),
            ("selection", "prediction", "last third", found[1]),
        ):
            if getattr(settings, weight) and not chosen:
                raise RecipeError(
                    f"space: of the {where} of {count} layers, without the last, the space holds none where the labels lie "
                    f'off one line. Set space.{name}, {weight} = 0, or norm = "state", which such layers need.'
                )
        return found[0] if settings.compression else [], found[1] if settings.selection else []

    def _guide(self, space: TaskSpace, policy: Policy) -> Guide:
        own = space.at(self.layers)
        own = own.random(self.run.seed) if self.settings.control == "random" else own
        like = next(policy.decoder.parameters())
        dtype = torch.promote_types(like.dtype, torch.float32)
        base_LKD, mean_LD, length_LK, *bases = (
            tensor.to(like.device, dtype) for tensor in (own.base_SKD, own.mean_SD, own.length_SK, *own.bases)
        )
        is_learned = self.settings.control == "learned"
        return Guide(base_LKD, mean_LD, length_LK, bases, norm=self.settings.norm, is_learned=is_learned)

    def _flat(self, space: TaskSpace) -> list[int]:
        """Layers where all labels lie on one line, as far as that takes the gradient away."""
        if not self._asks("coordinates_TLK") or self.settings.norm != "kept" or self.settings.control == "learned":
            return []
        return [layer for layer, basis_RD in zip(space.layers, space.bases, strict=True) if len(basis_RD) == 1]

    def _check_directions(self, space: TaskSpace) -> None:
        """Raises RecipeError for layers where every state has the same cosines, up to a sign: nothing is learnt there."""
        if alone := [layer for layer in self.layers if layer in self._flat(space)]:
            raise RecipeError(
                f"space: after layer {ranges(alone)} all {len(space.labels)} labels lie on one line, so what is kept of a "
                'state has the cosines 1 and -1 whatever it is, and no gradient. Set norm = "state", or name other layers.'
            )

    def _renew(self, step: int, needed: float, *, is_now: bool) -> None:
        """The space of the weights at a step, where that fits the budget beside `needed`; else the directions stay.

        A stage that goes on reads what was built last before it was ended.
        """
        policy, directory = self.trainee.policy, self.run.directory
        if self.last_built == 0 and (last := _last_kept(directory, step - 1 if is_now else step)):
            self._put(TaskSpace.load(last), policy)
        self.last_built = step
        number = num_prompts(self.examples, self.settings.pairs, self.settings.contexts)
        cost = self._cost(policy, self.trainee.renderer, self.examples, number)
        if not is_now or not self.run.ledger.fits(cost + needed):
            return
        space = self._built(policy, self.trainee.renderer, self.examples, self.layers)
        if flat := [layer for layer in self.layers if layer in self._flat(space)]:
            told = f"built again at step {step}, all labels lie on one line after layer {ranges(flat)}"
            self.run.notify({"guard": f"space: {told}: the directions of before stay."})
            return
        kept = directory / f"space-{step}"
        shutil.rmtree(kept, ignore_errors=True)
        space.save(kept)
        self._put(space, policy)

    def _put(self, space: TaskSpace, policy: Policy) -> None:
        assert self.trainee.guide is not None
        self.trainee.guide.put(self._guide(space, policy))

    def _noise(self, document: Document, step: int, place: int) -> Tensor:
        generator = torch.Generator().manual_seed(key64(self.run.seed, "space-noise", step, place) % 2**63)
        return torch.randn(1, len(self.labels), generator=generator).expand(document.num_supervised, -1)

    def _cosine(self, documents: Sequence[Document]) -> float:
        """Between the gradients of the loss and of the space's terms, on the weights of the lowest guided layer."""
        policy, optimizer, memory = self.trainee.policy, self.trainee.optimizer, self.trainee.memory
        assert memory is not None
        memory.make_room(policy.decoder, max(len(document.ids) for document in documents))
        device = next(policy.decoder.parameters()).device
        own = {id(parameter) for parameter in policy.decoder.layers()[self.layers[0]].parameters()}
        found = []
        for terms in (self.loss, self.own):
            step_gradient(self.forward, terms, documents, optimizer, 1.0, memory.max_tokens, device)
            masters = [m for p, m in zip(optimizer.parameters, optimizer.masters, strict=True) if id(p) in own]
            found.append(torch.cat([m.grad.flatten() for m in masters if m.grad is not None]))
            optimizer.adamw.zero_grad(set_to_none=True)
            self.run.ledger.charge("train", flops=self._step_flops(documents))
        return float(torch.nn.functional.cosine_similarity(found[0], found[1], dim=0))

    def _step_flops(self, documents: Sequence[Document]) -> float:
        return sum(step_flops(self.forward, documents, self.trainee.lora.rank if self.trainee.lora else 0))


def _last_kept(directory: Path, step: int) -> Path | None:
    """The space that was built last, at this step or before."""
    steps = [int(path.name.removeprefix("space-")) for path in directory.glob("space-*")]
    last = max((number for number in steps if number <= step), default=None)
    return None if last is None else directory / f"space-{last}"


def _ramped(weight: float, ramp: float, progress: float) -> float:
    return weight * min(1.0, progress / ramp) if ramp else weight


def _name(guide: SpaceGuide) -> str:
    return guide.loss if isinstance(guide.loss, str) else str(guide.loss.get("name", ""))


def _check_fits(
    space: TaskSpace, path: Path, policy: Policy, examples: Sequence[Example], template: str | None
) -> None:
    """Raises RecipeError for a kept space of another model, of other labels, or of prompts in another template."""
    facts = read_record(path / "space.json")
    if (made_of := facts.get("model")) and made_of != digest_of(policy.path):
        raise RecipeError(f"{path} is a space of another model than {policy.path}. Make one of this: `whit space`.")
    if facts.get("template", template) != template:
        told = [f'the template "{one}"' if one else "the model's own template" for one in (facts["template"], template)]
        raise RecipeError(
            f"{path} was built with {told[0]}, and this run has {told[1]}. Make one: `whit space --template`."
        )
    width, count = policy.decoder.config.shape.width, len(policy.decoder.layers())
    if space.base_SKD.shape[-1] != width or max(space.layers) >= count:
        raise RecipeError(
            f"{path} is of a model with states of {space.base_SKD.shape[-1]} numbers, and this one has {count} layers of "
            f"{width}. Make it of this model: `whit space`."
        )
    if missing := sorted({example.gold for example in examples} - set(space.labels)):
        raise RecipeError(
            f"{path} has no direction for {plural(len(missing), 'label')}, such as '{missing[0]}'. Give it more texts of "
            "this task: `whit space --items`."
        )


def _before(trainee: Trainee, start: Artifact, run: Run, layers: tuple[int, ...]) -> Live:
    """The model before training: the policy without its adapters, or a copy."""
    if trainee.lora is not None:
        decoder = trainee.policy.decoder
        return Live((decoder,), layers=layers, within=partial(adapters_off, decoder))
    copy = load_policy(start.path, dtype=run.dtype, device=run.device)
    copy.decoder.requires_grad_(False)
    return Live((copy.decoder,), layers=layers)
