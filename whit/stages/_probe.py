"""How fast this machine trains and samples a model: a few seconds of real work, on the task's own prompts."""

import time
from dataclasses import dataclass

import torch

from whit.core.answers import completion_text
from whit.core.types import Artifact
from whit.data.batch import collate
from whit.generation.engine import Engine
from whit.generation.sampler import Sampling
from whit.models.load import load_policy
from whit.models.prepack import bfloat16_pays as bfloat16_pays  # recipes ask for it here
from whit.objectives._types import Term
from whit.objectives.cross_entropy import cross_entropy
from whit.prompting.zero_shot import zero_shot
from whit.stages._model import renderer_of
from whit.stages._task import TaskData
from whit.training.loop import step_flops
from whit.training.optim import Optim, Optimizer
from whit.training.signals import Forward, accumulate
from whit.training.weights import token_weights

NUM_PROMPTS = 16
DOCUMENT_TOKENS = 2048  # of the training step that is timed, about


@dataclass(frozen=True)
class Rates:
    """What one worker does in a second, and the token counts behind a study's estimates.

    train, sample: operations of the ledger per second of wall time.
    prompt_tokens, own_tokens: means of a prompt and of what the start model writes to it.
    num_labels, num_texts: of the training split, where it was read: answers that are labels, and examples.
    """

    train: float
    sample: float
    prompt_tokens: float
    own_tokens: float
    num_labels: int = 0
    num_texts: int = 0


def probe(
    model: Artifact, task: TaskData, *, dtype: str, device: str, max_new_tokens: int, template: str | None = None
) -> Rates:
    """Time one training step and one round of sampling; the weights are left as they were on disk."""
    policy = load_policy(model.path, dtype=dtype, device=device)
    renderer = renderer_of(policy, template)
    texts = task.take("train")
    examples, labels = task.take("train", NUM_PROMPTS), {e.gold for e in texts if e.gold in e.choices}
    prompts = [renderer.prompt(zero_shot(example)) for example in examples]
    engine = Engine(policy.decoder, renderer.stop_ids, decode=renderer.decode)
    started = time.perf_counter()
    completions = engine.generate(prompts, Sampling(max_new_tokens=max_new_tokens), num_samples=2)
    sample = engine.flops(prompts, completions)[0] / (time.perf_counter() - started)
    own = [len(c.ids) for group in completions for c in group]

    document = [renderer.document(zero_shot(e), completion_text(e)) for e in examples]
    while sum(len(d.ids) for d in document) < DOCUMENT_TOKENS:
        document = document + document
    forward, term = Forward(policy.decoder), Term(cross_entropy)
    optimizer = Optimizer(policy.decoder, Optim(), 1e-9)
    batch = collate(document, next(policy.decoder.parameters()).device)
    weights = {term.name: token_weights(document, term)}
    accumulate(forward, batch, [term], weights, optimizer, 0.0)  # the first pass allocates
    started = time.perf_counter()
    accumulate(forward, batch, [term], weights, optimizer, 0.0)
    optimizer.step(0.5)
    train = step_flops(forward, document)[0] / (time.perf_counter() - started)
    return Rates(train, sample, sum(map(len, prompts)) / len(prompts), sum(own) / len(own), len(labels), len(texts))


def peak_rate(width: int) -> float:
    """FLOPs a second of matrix products of this width, with one thread, in the dtype that training would use."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        dtype = torch.bfloat16 if bfloat16_pays() else torch.float32
        a, b = torch.randn(1024, width, dtype=dtype), torch.randn(width, 4 * width, dtype=dtype)
        started, rounds = time.perf_counter(), 0
        while time.perf_counter() - started < 0.3:
            a @ b
            rounds += 1
        return rounds * 8 * 1024 * width * width / (time.perf_counter() - started)
    finally:
        torch.set_num_threads(threads)
