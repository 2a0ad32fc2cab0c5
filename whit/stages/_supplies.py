"""What pre-flight checks look at, made from a recipe's first stage when a check first asks for it."""

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import torch

from whit.core.answers import completion_text
from whit.core.errors import TemplateError
from whit.core.ledger import Ledger
from whit.core.parts import bind, find, inputs
from whit.core.types import Artifact, Example, Group
from whit.data.batch import Document
from whit.data.render import Renderer
from whit.generation.engine import Engine
from whit.generation.sampler import Sampling
from whit.models.load import Policy, load_policy, load_tokenizer, resolve_model
from whit.prompting.zero_shot import zero_shot
from whit.rewards.accuracy import accuracy
from whit.rollouts.collect import collect
from whit.stages._defaults import LEARNING_RATES, peak_lr
from whit.stages._given import given, gold_texts, is_written, of_text, with_texts
from whit.stages._kinds import GROUPS
from whit.stages._model import renderer_of
from whit.stages._own import made_reward
from whit.stages._setup import open_ended
from whit.stages._task import load_task
from whit.stages._teachers import SAME_TOKENS, is_cache
from whit.training.optim import Optim

NUM_EXAMPLES = 500
NUM_DOCUMENTS = 64
NUM_PROMPTS, NUM_SAMPLES = 64, 8
SAMPLING_SECONDS = 40.0  # no round of prompts is begun that may end later: the interval says what that costs
FIRST_ROUND = ((1e7, 16), (3e8, 4), (float("inf"), 1))  # prompts, for models of fewer parameters than so many
_groups: dict[tuple[object, ...], list[Group]] = {}  # of the last model and task


class Supplies:
    """The supplies of `preflight._types.SUPPLIES`, as attributes; None for what this stage has not.

    stage: the first stage of a resolved recipe. dtype: of the run; "policy" is float32 whatever it is.
    """

    def __init__(
        self, start: Artifact, task: Any, stage: Mapping[str, Any], *, teacher: str | None, dtype: str, device: str,
        template: str | None, max_new_tokens: int,
    ):  # fmt: skip
        self.start, self.task, self.stage = start, task, with_texts(stage, teacher)
        self.dtype, self.device, self.template, self.max_new_tokens = dtype, device, template, max_new_tokens
        self._teacher = teacher

    @cached_property
    def policy(self) -> Policy:
        return load_policy(self.start.path, dtype="float32", device=self.device)

    @cached_property
    def working(self) -> Policy:
        if self.dtype == "float32":
            return self.policy
        return load_policy(self.start.path, dtype=self.dtype, device=self.device)

    @cached_property
    def renderer(self) -> Renderer:
        return renderer_of(self.policy, self.template)

    @cached_property
    def examples(self) -> list[Example]:
        return load_task(self.task).take("train", NUM_EXAMPLES)

    @cached_property
    def gold(self) -> list[str]:
        if self._is_written:
            return [completion_text(example, with_rationale=False) for example in self.examples]
        return gold_texts(self.stage, self.start, self.examples, self._train, lambda: self.renderer)

    @cached_property
    def documents(self) -> list[Document]:
        """What a model will write is not there yet: gold stands for it. What does not fit is left to `truncation`."""
        found, problem = list[Document](), None
        for make in self._rendered():
            try:
                found += make()
            except TemplateError as error:
                problem = error
            if len(found) >= NUM_DOCUMENTS:
                break
        if problem and not found:
            raise problem
        return found if self.stage.get("end_of_turn", True) else open_ended(found)

    def _rendered(self) -> Iterator[Callable[[], list[Document]]]:
        if self._is_written:
            for example, text in zip(self.examples, self.gold, strict=True):
                yield partial(of_text, self.renderer, example, text)
        else:
            for _, make in given(self.stage, self.start, self._train, self.renderer):
                yield make

    @property
    def _is_written(self) -> bool:
        return is_written(self.stage, has_rationales=load_task(self.task).has_rationales)

    @property
    def _train(self) -> list[Example]:
        """Whole where a stage chooses among the examples."""
        return load_task(self.task).take("train") if self.stage["kind"] in ("mix", "specialize") else self.examples

    @cached_property
    def groups(self) -> list[Group] | None:
        """Only of a stage that samples from the start model: what comes before would change what is sampled."""
        if self.stage["kind"] not in GROUPS and self.stage.get("source") != "own" and not self.stage.get("on_policy"):
            return None
        reward = self.stage.get("reward", "accuracy")
        score = made_reward(reward, "stage.1.reward")
        return [
            replace(group, rollouts=tuple(replace(r, reward=score(r.verdict, r.text)) for r in group.rollouts))
            for group in self._sampled()
        ]

    @cached_property
    def temperature(self) -> float:
        return Sampling.model_validate(self.stage.get("sampling", {})).temperature

    @cached_property
    def group_size(self) -> int | None:
        if self.stage["kind"] not in GROUPS:
            return None
        algorithm = self.stage.get("algorithm", "grpo")
        settings = {"name": algorithm} if isinstance(algorithm, str) else dict(algorithm)
        return int(bind("algorithm", str(settings.pop("name")), settings, "algorithm")().group_size)

    def _sampled(self) -> list[Group]:
        """Completions, judged; pipelines that differ in their reward look at the same ones."""
        sampling = Sampling.model_validate(self.stage.get("sampling", {})).within(self.max_new_tokens)
        key = (self.start.key, repr(self.task), self.template, self.dtype, self.device, sampling)
        if key not in _groups:
            engine = Engine(self.working.decoder, self.renderer.stop_ids, decode=self.renderer.decode, max_rows=128)
            examples, groups = self.examples[:NUM_PROMPTS], list[Group]()
            size = next(size for limit, size in FIRST_ROUND if self.working.decoder.config.shape.parameters < limit)
            started = time.monotonic()
            while len(groups) < len(examples):
                before = time.monotonic()
                groups += collect(
                    engine, self.renderer, examples[len(groups) : len(groups) + size], zero_shot, accuracy,
                    num_samples=NUM_SAMPLES, sampling=sampling, seed=0, ledger=Ledger(),
                )  # fmt: skip
                size *= 2  # which takes less than twice as long: a step reads the weights once for all rows
                now = time.monotonic()
                if now - started + 1.5 * (now - before) > SAMPLING_SECONDS:
                    break
            _groups.clear()
            _groups[key] = groups
        return _groups[key]

    @cached_property
    def teacher_vocab(self) -> dict[str, int] | None:
        """Only where the teacher's probabilities are compared with the student's, token by token."""
        asks = self.stage["kind"] in ("cache", "minillm", "rsd") or any(
            name in SAME_TOKENS
            for term in self.stage.get("terms", ())
            for name in inputs(find("objective", str(term["objective"])))
        )
        if not self._teacher or not asks or is_cache(Path(self._teacher)):
            return None
        vocab: dict[str, int] = load_tokenizer(resolve_model(self._teacher)).get_vocab()
        return vocab

    @cached_property
    def lr(self) -> float:
        optim = Optim.model_validate(self.stage.get("optim", {}))
        kind = self.stage["kind"] if (self.stage["kind"], "full") in LEARNING_RATES else "sft"
        return peak_lr(optim, kind, self.policy.decoder.config.shape, is_lora=bool(self.stage.get("lora")))

    def close(self) -> None:
        """Give back what was loaded: whoever runs next may need the memory."""
        for name in ("policy", "working"):
            self.__dict__.pop(name, None)
        if self.device.startswith("cuda"):
            torch.cuda.empty_cache()
