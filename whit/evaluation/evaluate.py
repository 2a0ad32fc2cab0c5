"""What a model scores on examples: k completions of each, a verdict on each, one JSON line on each.

The deciding number is lenient accuracy, the mean over k samples, under one frozen decoding profile; greedy stands beside.
"""

import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from whit.core.errors import PromptTooLongError, RunError, UsageError
from whit.core.ledger import Ledger
from whit.core.rundir import write_beside
from whit.core.types import Ask, Completion, Example, Interval, Verdict
from whit.data.render import Renderer
from whit.generation.engine import Engine
from whit.generation.sampler import Sampling
from whit.models.load import Policy
from whit.stats.intervals import clustered_mean
from whit.stats.passk import majority_at_k, pass_at_k
from whit.verifiers._workers import Verdicts

PROFILE = Sampling(temperature=0.6, top_p=0.95)
"""The frozen decoding profile: sampling as the reference study evaluates (arXiv:2506.13404)."""
GREEDY_PROFILE = Sampling(temperature=0.0)
FACT = (str, int, float)  # of an example's metadata, what its records keep


@dataclass(frozen=True)
class Evaluation:
    """Every completion of every example, as written to `completions.jsonl`."""

    records: tuple[dict[str, Any], ...]

    def matrix(self, key: str, *, greedy: bool = False) -> np.ndarray:
        """[I, k]: a value of each completion, items in the order of the examples. Raises RunError for holes."""
        by_item: dict[str, list[float]] = {}
        for record in self.records:
            if record["greedy"] == greedy:
                by_item.setdefault(record["id"], []).append(float(record[key]))
        sizes = {len(values) for values in by_item.values()}
        if len(sizes) > 1:
            raise RunError(f"completions are missing: items have between {min(sizes)} and {max(sizes)} of them.")
        return np.array(list(by_item.values()))

    @property
    def groups(self) -> list[str]:
        """The cluster of each item, in the order of `matrix`."""
        return list({record["id"]: record["group"] for record in self.records}.values())

    def summary(self) -> dict[str, Any]:
        """Named numbers; a share comes as [estimate, low, high], its interval clustered by group.

        too_long: items that could not be asked and count as wrong, if there are such.
        """
        groups = self.groups
        out: dict[str, Any] = {"num_items": len(groups)}
        for greedy, prefix in ((False, ""), (True, "greedy_")):
            lenient = self.matrix("correct", greedy=greedy)
            if not lenient.size:
                continue
            for name, key in (
                ("accuracy", "correct"),
                ("strict", "strict"),
                ("format_rate", "has_format"),
                ("truncated", "truncated"),
            ):
                out[prefix + name] = _triple(clustered_mean(self.matrix(key, greedy=greedy).mean(1), groups))
            out[prefix + "tokens"] = float(self.matrix("num_tokens", greedy=greedy).mean())
            num_samples = lenient.shape[1]
            if num_samples > 1:
                out["num_samples"] = num_samples
                for k in sorted({min(8, num_samples), num_samples}):
                    best = [pass_at_k(num_samples, int(c), k) for c in lenient.sum(1)]
                    out[f"pass@{k}"] = _triple(clustered_mean(best, groups))
                    if any(record["answer"] is not None for record in self.records):  # a reward function reads none
                        out[f"majority@{k}"] = _triple(clustered_mean(self._majority(k), groups))
        statuses = [record["status"] for record in self.records]
        out["statuses"] = {status: statuses.count(status) for status in sorted(set(statuses))}
        if too_long := {record["id"] for record in self.records if record.get("too_long")}:
            out["too_long"] = len(too_long)
        return out

    def by(self, fact: str) -> dict[Any, dict[str, Any]]:
        """Accuracies by the value of one of the task's facts, such as depth, in order: [estimate, low, high] and the items.

        Raises UsageError for a fact that no example has.
        """
        found: dict[Any, list[dict[str, Any]]] = {}
        for record in self.records:
            if fact in record.get("facts", {}):
                found.setdefault(record["facts"][fact], []).append(record)
        if not found:
            known = sorted({name for record in self.records for name in record.get("facts", {})})
            told = f"The task's examples have {', '.join(known)}." if known else "The task's examples have none."
            raise UsageError(f"by: there is no fact '{fact}'. {told}")
        table: dict[Any, dict[str, Any]] = {}
        for value in sorted(found, key=lambda value: (isinstance(value, str), value)):
            summary = Evaluation(tuple(found[value])).summary()
            table[value] = {key: summary[key] for key in ("num_items", "accuracy", "greedy_accuracy") if key in summary}
        return table

    def _majority(self, k: int) -> list[float]:
        votes: dict[str, list[tuple[str | None, bool]]] = {}
        for record in self.records:
            if not record["greedy"]:
                votes.setdefault(record["id"], []).append((record["answer"], record["correct"]))
        return [majority_at_k([a for a, _ in v], [c for _, c in v], k) for v in votes.values()]

    def save(self, path: Path) -> None:
        write_beside(path, "".join(json.dumps(record, ensure_ascii=False) + "\n" for record in self.records))

    @classmethod
    def load(cls, path: Path) -> "Evaluation":
        with path.open() as lines:  # splitlines would also break at U+2028, which a model may write
            return cls(tuple(map(json.loads, lines)))


def evaluate(
    policy: Policy,
    renderer: Renderer,
    examples: Sequence[Example],
    ask: Ask,
    *,
    max_new_tokens: int,
    num_samples: int = 4,
    with_greedy: bool = True,
    profile: Sampling = PROFILE,
    seed: int = 0,
    max_rows: int = 64,
    ledger: Ledger | None = None,
    notify: Callable[[int], None] | None = None,
) -> Evaluation:
    """Sample, judge and record `num_samples` completions of each example, and a greedy one.

    max_new_tokens: longer completions are cut off and counted as truncated.
    ledger: charged under "evaluate" when given.
    An item whose prompt does not fit the model's context is not asked: its records are wrong ones without a text, with the
    status "no_answer" and the reason. Raises PromptTooLongError when none fits.
    """
    asked, prompts, too_long = _prompts(renderer, examples, ask)
    engine = Engine(policy.decoder, renderer.stop_ids, decode=renderer.decode, max_rows=max_rows)
    keys = [example.id for example in asked]
    records: list[dict[str, Any]] = []
    rounds = [(profile, num_samples, False)] if num_samples else []
    rounds += [(GREEDY_PROFILE, 1, True)] if with_greedy else []
    for sampling, count, greedy in rounds:
        sampling = sampling.model_copy(update={"max_new_tokens": max_new_tokens})
        started = time.perf_counter()
        verdicts = Verdicts(asked, renderer.decode)
        groups = engine.generate(
            prompts, sampling, num_samples=count, seed=seed, keys=keys, notify=notify, finished=verdicts.finished
        )
        if ledger is not None:
            flops, tokens = engine.flops(prompts, groups)
            ledger.charge("evaluate", flops=flops, tokens=tokens, seconds=time.perf_counter() - started)
        written = iter(zip(groups, verdicts.groups(), strict=True))
        for number, example in enumerate(examples):
            if number in too_long:
                records += [_not_asked(example, sample, greedy, too_long[number]) for sample in range(count)]
                continue
            group, judged = next(written)
            for sample, (completion, (text, verdict)) in enumerate(zip(group, judged, strict=True)):
                records.append(_record(example, sample, greedy, completion, text, verdict))
    return Evaluation(tuple(records))


def _prompts(
    renderer: Renderer, examples: Sequence[Example], ask: Ask
) -> tuple[list[Example], list[list[int]], dict[int, PromptTooLongError]]:
    """The examples that can be asked, with their prompts; and why not, by their place, for the others."""
    asked, prompts, too_long = list[Example](), list[list[int]](), dict[int, PromptTooLongError]()
    for number, example in enumerate(examples):
        try:
            prompts.append(renderer.prompt(list(ask(example))))
            asked.append(example)
        except PromptTooLongError as error:
            too_long[number] = error
    if too_long and not asked:
        raise next(iter(too_long.values()))
    return asked, prompts, too_long


def _record(
    example: Example, sample: int, greedy: bool, completion: Completion, text: str, verdict: Verdict
) -> dict[str, Any]:
    return {
        "id": example.id, "group": example.group, "sample": sample, "greedy": greedy, "prompt": example.prompt,
        "gold": example.gold, "completion": text, "answer": verdict.answer, "correct": verdict.correct,
        "strict": verdict.strict, "has_format": verdict.has_format, "status": verdict.status,
        "reason": verdict.reason, "num_tokens": len(completion.ids), "truncated": completion.finish == "length",
        "facts": {key: value for key, value in example.metadata.items() if isinstance(value, FACT)},
    }  # fmt: skip


def _not_asked(example: Example, sample: int, greedy: bool, error: PromptTooLongError) -> dict[str, Any]:
    reason = f"the prompt has {error.num_tokens} tokens, the context {error.max_length}"
    verdict = Verdict(correct=False, status="no_answer", reason=reason)
    return {**_record(example, sample, greedy, Completion((), (), "stop"), "", verdict), "too_long": True}


def _triple(interval: Interval) -> list[float]:
    return [interval.estimate, interval.low, interval.high]
