"""A live teacher against caches of its logits: training speed, bytes a token, and how far the gradient turns.

    WHIT_DATA=... python bench/caches.py [--model smollm2-135m] [--rounds 5] [--out FILE.json]

Speed: steps of 16 GSM8K solutions, student and teacher of one shape, the ways in turn, the teacher or the reading of its
cache included. Angles: the gradient of micro-base under micro-teacher, on 512 word problems, between the loss on all tokens
and the loss on what a cache keeps.
"""

import argparse
import json
import math
import statistics
import tempfile
import time
from pathlib import Path

import torch
from _rounds import machine

from whit.core.ledger import Ledger
from whit.data.batch import Document
from whit.data.render import Renderer
from whit.data.teacher_cache import CacheFacts, TeacherCache
from whit.models.load import Policy, load_policy, resolve_model
from whit.objectives._types import Term
from whit.objectives.cross_entropy import cross_entropy
from whit.objectives.forward_kl import forward_kl
from whit.objectives.sampled_kl import sampled_kl
from whit.objectives.topk_kl import topk_kl
from whit.stages._setup import gold_documents
from whit.stages._task import load_task
from whit.training.loop import step_gradient
from whit.training.optim import Optim, Optimizer
from whit.training.signals import Forward
from whit.training.teacher_pass import cache_teacher
from whit.training.teachers import Live

CPU = torch.device("cpu")
STEP = 16  # documents
WAYS = {"top-16": ("top", 16), "drawn-50": ("sampled", 50)}
ANGLES = {"top-4": ("top", 4), "top-16": ("top", 16), "drawn-12": ("sampled", 12), "drawn-50": ("sampled", 50)}


def documents_of(policy: Policy, task: str, count: int) -> list[Document]:
    renderer = Renderer(policy.tokenizer, max_length=policy.decoder.config.max_length, more_stops=policy.stop_ids)
    return gold_documents(renderer, load_task(task).take("train", count), with_rationale=True)


def kept(policy: Policy, documents: list[Document], kind: str, count: int, folder: Path) -> TeacherCache:
    vocab = min(policy.decoder.config.shape.vocab_size, len(policy.tokenizer))
    facts = CacheFacts("t", "t", "", "", vocab, kind, count)  # type: ignore[arg-type]
    path = folder / f"{kind}-{count}"
    cache_teacher(path, facts, documents, policy.decoder, seed=0, ledger=Ledger())
    return TeacherCache.open(path, facts)


def speed(name: str, rounds: int, folder: Path) -> dict[str, dict[str, float]]:
    student, teacher = (load_policy(resolve_model(name), dtype="bfloat16") for _ in range(2))
    teacher.decoder.requires_grad_(False)
    documents = documents_of(student, "gsm8k", STEP * rounds)
    optimizer = Optimizer(student.decoder, Optim(), 1e-6)
    caches = {way: kept(teacher, documents, *spec, folder) for way, spec in WAYS.items()}
    found: dict[str, dict[str, float]] = {way: {"bytes_per_token": c.bytes_per_token} for way, c in caches.items()}
    rates: dict[str, list[float]] = {}
    live = Forward(student.decoder, Live((teacher.decoder,)))
    for number in range(rounds):
        chosen = documents[number * STEP : (number + 1) * STEP]
        for way in ("no teacher", "live", *WAYS):
            started = time.perf_counter()
            if way == "live":
                step_gradient(live, [Term(forward_kl)], chosen, optimizer, 0.5, 1024, CPU)
            elif way == "no teacher":
                step_gradient(Forward(student.decoder), [Term(cross_entropy)], chosen, optimizer, 0.5, 1024, CPU)
            else:
                term = Term(topk_kl if WAYS[way][0] == "top" else sampled_kl)
                attached = caches[way].attach(chosen)
                step_gradient(Forward(student.decoder), [term], attached, optimizer, 0.5, 1024, CPU)
            optimizer.step(0.5)
            tokens = sum(len(document.ids) for document in chosen)
            rates.setdefault(way, []).append(tokens / (time.perf_counter() - started))
    for way, values in rates.items():
        found.setdefault(way, {})
        found[way] |= {"tokens_per_second": statistics.median(values), "low": min(values), "high": max(values)}
    return found


def angles(folder: Path) -> dict[str, dict[str, float]]:
    """Degrees between each gradient and that of the loss on all tokens."""
    student, teacher = (load_policy(resolve_model(name)) for name in ("micro-base", "micro-teacher"))
    documents = documents_of(student, "word_problems", 512)

    def gradient(forward: Forward, term: Term, own: list[Document]) -> torch.Tensor:
        optimizer = Optimizer(student.decoder, Optim(), 1.0)
        optimizer.adamw.zero_grad(set_to_none=True)
        step_gradient(forward, [term], own, optimizer, 0.0, 4096, CPU)
        return torch.cat([m.grad.flatten() for m in optimizer.masters if m.grad is not None])

    whole = gradient(Forward(student.decoder, Live((teacher.decoder,))), Term(forward_kl), documents)
    found = {}
    for way, (kind, count) in ANGLES.items():
        cache = kept(teacher, documents, kind, count, folder / "angles")
        term = Term(topk_kl if kind == "top" else sampled_kl)
        own = gradient(Forward(student.decoder), term, cache.attach(documents))
        cosine = torch.nn.functional.cosine_similarity(own, whole, dim=0).clamp(max=1.0).item()
        found[way] = {"degrees": math.degrees(math.acos(cosine)), "bytes_per_token": cache.bytes_per_token}
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="smollm2-135m")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        told = {"speed": speed(arguments.model, arguments.rounds, Path(folder)), "angles": angles(Path(folder))}
    base = told["speed"]["live"]["tokens_per_second"]
    print(f"{'teacher':<12} {'tokens/s':>9} {'of live':>8} {'bytes a token':>14}")
    for way, row in told["speed"].items():
        size = f"{row['bytes_per_token']:.0f}" if "bytes_per_token" in row else ""
        print(f"{way:<12} {row['tokens_per_second']:>9.0f} {row['tokens_per_second'] / base:>8.2f} {size:>14}")
    print(f"\n{'kept':<12} {'degrees':>9} {'bytes a token':>14}")
    for way, row in told["angles"].items():
        print(f"{way:<12} {row['degrees']:>9.1f} {row['bytes_per_token']:>14.0f}")
    if arguments.out:
        settings = {"model": arguments.model, "rounds": arguments.rounds, "machine": machine()}
        arguments.out.write_text(json.dumps({**settings, **told}, indent=1) + "\n")


if __name__ == "__main__":
    main()
