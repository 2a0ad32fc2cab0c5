"""Train a small decoder from nothing, or go on, on documents of a generated task and plain text: next-token loss on all.

The task's documents stand in the model's own chat template. A share of them shows the rationale, the rest the bare
answer: a base model that has seen both ways of answering leaves room for every later stage.
"""

from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import torch
from pydantic import Field, model_validator

from whit.core.answers import completion_text
from whit.core.errors import RecipeError
from whit.core.files import plain_texts
from whit.core.parts import bind, find, options
from whit.core.rundir import Run
from whit.core.seeds import key64, stream
from whit.core.settings import Frozen
from whit.core.types import Artifact, Example
from whit.data.batch import Document
from whit.data.tokenizer import train_tokenizer
from whit.models.config import parse_config
from whit.models.decoder import Decoder
from whit.models.load import DTYPES, Policy, load_policy, load_tokenizer
from whit.objectives._types import Term
from whit.objectives.cross_entropy import cross_entropy
from whit.prompting.zero_shot import zero_shot
from whit.stages._defaults import peak_lr
from whit.stages._model import renderer_of
from whit.stages._setup import prepare
from whit.stages._transforms import Transforms, shows
from whit.training.loop import Feed, train
from whit.training.optim import Optim, Optimizer
from whit.training.signals import Forward


class Architecture(Frozen):
    """The sizes of a Llama-like decoder with a tied head."""

    width: int = Field(128, gt=0)
    num_layers: int = Field(5, gt=0)
    num_heads: int = Field(4, gt=0)
    num_kv_heads: int = Field(4, gt=0)
    intermediate: int = Field(384, gt=0)
    max_length: int = Field(512, gt=0)
    rope_theta: float = 10_000.0

    @model_validator(mode="after")
    def _heads_fit(self) -> "Architecture":
        if self.width % (2 * self.num_heads) or self.num_heads % self.num_kv_heads:
            raise RecipeError(
                f"width={self.width}, num_heads={self.num_heads}, num_kv_heads={self.num_kv_heads}: the width must be a "
                "multiple of 2 x num_heads, and num_heads one of num_kv_heads."
            )
        return self


def pretrain(
    start: Artifact | None,
    run: Run,
    *,
    architecture: Architecture = Architecture(),
    vocab_size: int = 512,
    batch_documents: int = 64,
    steps: int = 1000,
    rationale_frac: float = 1.0,
    tokenizer_documents: int = 20_000,
    tokenizer: str | None = None,
    texts: Path | None = None,
    text_share: Annotated[float, Field(ge=0, le=1)] = 0.5,
    text_tokens: Annotated[int, Field(gt=1)] = 256,
    transform: Transforms = (),
    optim: Optim = Optim(schedule="wsd", warmup=0.02, weight_decay=0.1, betas=(0.9, 0.95)),
    max_tokens: Annotated[int, Field(ge=0)] = 0,
) -> Artifact:
    """Minimise next-token loss over `steps` batches of fresh problems of the run's task.

    start: None makes a new model of `architecture`; a model directory is trained further.
    rationale_frac: share of documents that show the rationale before the answer.
    tokenizer: directory of a tokenizer to take over; None trains one on the task's first documents.
    texts: a JSONL or CSV file with a column text. `text_share` of the documents of every step are then stretches of
        `text_tokens` tokens of it, drawn at random, without a template.
    transform: what a step does to its documents, such as `meap`.
    The schedule runs over `steps` unless a budget in operations ends first.
    Raises RecipeError when the task is not a generated one: its function needs the settings `size` and `seed`.
    """
    name, settings = _task(run.task)
    if not {"size", "seed"} <= options(find("task", name)).keys():
        raise RecipeError(f"task '{name}' is not generated, so pretrain cannot draw fresh problems. Use word_problems.")

    def draw(purpose: str, index: int, size: int) -> list[Example]:
        # A second stage goes on with other problems than the first one saw.
        seed = key64(run.seed, "pretrain", *([start.key] if start else []), purpose, index) % 2**31
        return list(bind("task", name, {**settings, "size": size, "seed": seed})("train"))

    if start is None:
        examples = draw("tokenizer", 0, tokenizer_documents)
        words = [f"{e.prompt}{completion_text(e)}" for e in examples] + (plain_texts(texts) if texts else [])
        policy = _new_policy(run, architecture, vocab_size, tokenizer, words)
    else:
        policy = load_policy(start.path, dtype=run.dtype, device=run.device)
    renderer = renderer_of(policy)
    policy.stop_ids = tuple(sorted(renderer.stop_ids))
    terms = [Term(cross_entropy)]
    show = shows(transform, policy, run, terms)  # before the optimizer: a mask token may be a new row
    lr = run.lr_factor * peak_lr(optim, "pretrain", policy.decoder.config.shape)
    optimizer = Optimizer(policy.decoder, optim, lr)

    plain = _tokens(texts, policy) if texts else []
    num_plain = round(text_share * batch_documents) if texts else 0
    length = min(text_tokens, policy.decoder.config.max_length, len(plain))

    def producer(step: int, progress: float) -> Feed | None:
        if step == steps:
            return None
        rationales = stream(run.seed, "pretrain-rationales", step)
        examples = draw("documents", step, batch_documents - num_plain) if num_plain < batch_documents else []
        documents = [
            renderer.document(zero_shot(e), completion_text(e, with_rationale=rationales.random() < rationale_frac))
            for e in examples
        ]
        places = stream(run.seed, "pretrain-texts", step)
        starts = [places.randrange(len(plain) - length + 1) for _ in range(num_plain)]
        documents += [Document(plain[start : start + length], ()) for start in starts]
        return Feed(*show([replace(d, spans=((1, len(d.ids)),)) for d in documents], step))  # prompts are learnt too

    memory, compiled = prepare(policy.decoder, optimizer, max_tokens, run)
    updates = train(Forward(policy.decoder), terms, producer, optimizer, run, memory=memory, num_steps=steps)
    return run.save(policy.save, updates=updates, **compiled)


def _new_policy(run: Run, sizes: Architecture, vocab_size: int, tokenizer: str | None, texts: list[str]) -> Policy:
    if tokenizer is None:
        words: Any = train_tokenizer(texts, vocab_size=vocab_size, max_length=sizes.max_length)
    else:
        words = load_tokenizer(Path(tokenizer))
    raw = {
        "architectures": ["LlamaForCausalLM"], "model_type": "llama", "vocab_size": len(words), "hidden_size": sizes.width,
        "num_hidden_layers": sizes.num_layers, "num_attention_heads": sizes.num_heads,
        "num_key_value_heads": sizes.num_kv_heads, "intermediate_size": sizes.intermediate, "hidden_act": "silu",
        "max_position_embeddings": sizes.max_length, "rms_norm_eps": 1e-5, "rope_theta": sizes.rope_theta,
        "tie_word_embeddings": True, "attention_bias": False, "mlp_bias": False,
        "bos_token_id": words.eos_token_id, "eos_token_id": words.eos_token_id, "pad_token_id": words.eos_token_id,
    }  # fmt: skip
    config = parse_config(raw)
    assert config is not None
    decoder = Decoder(config)
    decoder.initialise(torch.Generator().manual_seed(key64(run.seed, "weights") % 2**63))
    return Policy(decoder.to(run.device, DTYPES[run.dtype]), words, run.directory)


def _tokens(path: Path, policy: Policy) -> list[int]:
    """The texts of a file one after another, each with its end."""
    end = policy.tokenizer.eos_token_id
    encoded = policy.tokenizer(plain_texts(path), add_special_tokens=False)["input_ids"]
    return [token for ids in encoded for token in [*ids, *([end] if end is not None else [])]]


def _task(spec: Any) -> tuple[str, dict[str, Any]]:
    if isinstance(spec, str):
        return spec, {}
    settings = dict(spec)
    return settings.pop("name"), settings
