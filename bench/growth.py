"""How time and memory grow as the work does: at 1, 2, 4 and 8 times the tokens, completions, vocabulary and pipelines.

    python bench/growth.py [tokens completions vocabulary pipelines] [--model micro-base] [--threads 2]

Every size runs in a process of its own. Shown are seconds, and the peak of memory over what the process held before.
"""

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Callable

from _rounds import peak_bytes

TIMES = (1, 2, 4, 8)
Work = Callable[[], object]


def tokens(model: str, factor: int) -> tuple[str, Work]:
    """A training step on so many documents; micro-batches are as long as memory allows."""
    import torch

    from whit.core.types import Message
    from whit.data.render import Renderer
    from whit.models.load import load_policy, resolve_model
    from whit.objectives._types import Term
    from whit.objectives.cross_entropy import cross_entropy
    from whit.tasks.word_problems import word_problems
    from whit.training.loop import step_gradient
    from whit.training.memory import plan_memory
    from whit.training.optim import Optim, Optimizer
    from whit.training.signals import Forward

    policy = load_policy(resolve_model(model), dtype="bfloat16")
    renderer = Renderer(policy.tokenizer, max_length=policy.decoder.config.max_length, more_stops=policy.stop_ids)
    examples = word_problems("train", size=64 * factor)
    documents = [renderer.document([Message("user", e.prompt)], f"{e.rationale}\n#### {e.gold}") for e in examples]
    optimizer = Optimizer(policy.decoder, Optim(), 1e-6)
    room = plan_memory(policy.decoder, optimizer).max_tokens

    def work() -> None:
        terms = [Term(cross_entropy)]
        step_gradient(Forward(policy.decoder), terms, documents, optimizer, 0.0, room, torch.device("cpu"))
        optimizer.step(0.5)

    return f"{sum(len(d.ids) for d in documents):,} tokens", work


def completions(model: str, factor: int) -> tuple[str, Work]:
    """Sampling of so many completions, 64 in flight."""
    from whit.generation.engine import Engine
    from whit.generation.sampler import Sampling
    from whit.models.load import load_policy, resolve_model

    decoder = load_policy(resolve_model(model), dtype="bfloat16").decoder
    engine = Engine(decoder, frozenset(), max_rows=64)
    prompts = [[(17 * i + j) % 200 + 10 for j in range(32)] for i in range(8 * factor)]
    sampling = Sampling(max_new_tokens=32)
    return f"{8 * len(prompts):,} completions", lambda: engine.generate(prompts, sampling, num_samples=8)


def vocabulary(model: str, factor: int) -> tuple[str, Work]:
    """Head and loss, forward and backward, 512 rows of 256 numbers."""
    import torch
    import torch.nn.functional as F  # noqa: N812

    from whit.kernels.log_prob import log_prob
    from whit.models.causal import CausalLM, Head
    from whit.training.chunks import row_chunks

    size = 18_992 * factor
    weight_VD = torch.randn(size, 256).bfloat16()
    hidden_TD, labels_T = torch.randn(512, 256).bfloat16(), torch.randint(0, size, (512,))

    class HeadOnly(CausalLM):
        def head(self) -> Head:
            return Head(weight_VD)

    def work() -> None:
        for rows in row_chunks(512, HeadOnly()):
            logits_TV = F.linear(hidden_TD[rows], weight_VD).requires_grad_()
            (gradient_TV,) = torch.autograd.grad(-log_prob(logits_TV, labels_T[rows])[0].sum(), logits_TV)
            gradient_TV @ weight_VD

    return f"{size:,} words", work


def pipelines(model: str, factor: int) -> tuple[str, Work]:
    """The statistics of so many pipelines: 3 seeds each, 1,000 items."""
    import numpy as np

    from whit.stats.paired import compare_to_best

    rng = np.random.default_rng(0)
    scores = {f"p{i}": rng.random((3, 1000)) for i in range(2 * factor)}
    groups = [str(i) for i in range(1000)]
    compare_to_best(dict(list(scores.items())[:2]), groups)  # imports
    return f"{len(scores)} pipelines", lambda: compare_to_best(scores, groups)


KINDS = {kind.__name__: kind for kind in (tokens, completions, vocabulary, pipelines)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("kinds", nargs="*", choices=[*KINDS, []], default=[])
    parser.add_argument("--model", default="micro-base")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--factor", type=int, default=0, help="run one size here and print it")
    arguments = parser.parse_args()
    if arguments.factor:
        print(json.dumps(measured(arguments.kinds[0], arguments.model, arguments.factor, arguments.threads)))
        return
    for kind in arguments.kinds or KINDS:
        print(kind)
        first = None
        for factor in TIMES:
            command = [sys.executable, __file__, kind, "--factor", str(factor), "--model", arguments.model]
            command += ["--threads", str(arguments.threads)]
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            if done.returncode:
                sys.exit(done.stderr[-2000:])
            name, seconds, added = json.loads(done.stdout.splitlines()[-1])
            first = first or (seconds, added)
            print(f"  {name:<22} {seconds:8.3f} s  x{seconds / first[0]:<6.2f} {added / 1e6:8.0f} MB added")


def measured(kind: str, model: str, factor: int, threads: int) -> tuple[str, float, int]:
    import torch

    from whit.core.memory import held_bytes

    torch.set_num_threads(threads)
    name, work = KINDS[kind](model, factor)
    held = held_bytes()
    work()  # the first time finds memory and chooses kernels
    started = time.perf_counter()
    work()
    return name, time.perf_counter() - started, max(0, peak_bytes() - held)


if __name__ == "__main__":
    main()
