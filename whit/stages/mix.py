"""Mix distillation: one answer a prompt, from a rich source for some prompts and from a simple one for the others.

Small students learn less from long traces, or from the strongest teacher, than from a mixture with few of them. The
paper's best is 1 : 4.  Source: arXiv:2502.12143.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Annotated, Any, Literal

from pydantic import Field

from whit.core.errors import DataError, RecipeError
from whit.core.rundir import Run
from whit.core.seeds import stream
from whit.core.settings import Frozen
from whit.core.types import Artifact, Example
from whit.data.render import Renderer
from whit.prompting.zero_shot import zero_shot
from whit.stages._model import renderer_at
from whit.stages._task import load_task
from whit.stages._texts import Keep, read_texts
from whit.stages._traces import Trace, fits, save_traces
from whit.verifiers._judge import judge

Unit = Literal["prompt", "token"]
WEIGHTS = (0.2, 0.8)  # of the rich and the simple source: the best of the paper's sweep at 3B


class Texts(Frozen):
    """A file of a teacher's texts and its share. weight: None in both of two sources is the paper's 0.2 and 0.8."""

    path: Path
    weight: float | None = Field(None, ge=0)


def mix(
    start: Artifact,
    run: Run,
    *,
    sources: tuple[Texts, ...] = (),
    unit: Unit = "prompt",
    exact: bool = True,
    keep: Keep = "correct",
    intersect: bool = True,
    total: Annotated[int, Field(gt=0)] | None = None,
) -> Artifact:
    """Make traces of the training split, one a prompt, from several files of texts, for `sft` with source = "traces".

    sources: two or more { path, weight }; JSONL or CSV with the columns prompt and completion, as `whit write` makes
        them. The rich source first: without weights the first of two gets 0.2.
    unit: what the weights are shares of. Traces ten times as long have 71 % of the tokens at 20 % of the prompts.
    exact: shares as near to the weights as whole texts allow; else each prompt draws its source.
    keep: "correct" leaves out texts that the task's verifier refuses. Texts that were cut off, or that do not fit the
        context whole, are left out in any case: they would teach not to stop.
    intersect: only prompts that every source has a kept text for, so that sources do not differ in what they solved. Else
        a prompt takes its answer from the sources that have one.
    total: so many prompts, drawn at random; None takes all.
    A source of weight 0 is read for `intersect` alone: with weights 1 and 0 the set is that of the first source.
    The report counts the texts of each source and its realised shares of prompts and of tokens.
    Raises RecipeError for fewer than two sources or weights that make no shares, DataError when too few prompts are left.
    """
    renderer, examples = renderer_at(start.path, run.template), load_task(run.task).take("train")
    traces, report = mixed(
        renderer, examples, run.seed,
        sources=sources, unit=unit, exact=exact, keep=keep, intersect=intersect, total=total,
    )  # fmt: skip
    flops = sum(found["flops"] for found in report["sources"].values() if found["weight"])
    return save_traces(start, run, traces, report, texts={"flops": flops})


def mixed(
    renderer: Renderer, examples: Sequence[Example], seed: int, *, sources: Sequence[Texts], unit: Unit, exact: bool,
    keep: Keep, intersect: bool, total: int | None,
) -> tuple[list[Trace], dict[str, Any]]:  # fmt: skip
    """The mixture and its report; the settings are those of the stage."""
    weights = shares_of(sources)
    pools = [read_pool(renderer, source.path, examples, keep, seed) for source in sources]
    prompts = _prompts(examples, pools, weights, total, seed, intersect=intersect)
    chosen = assign(prompts, pools, weights, seed, unit=unit, exact=exact)
    traces = [
        _trace(sources[index], pools[index], example, keep) for example, index in zip(prompts, chosen, strict=True)
    ]
    found = {str(s.path): realised(traces, s, p, w) for s, p, w in zip(sources, pools, weights, strict=True)}
    return traces, {"left_out": len(examples) - len(prompts), "sources": found}


def shares_of(sources: Sequence[Texts]) -> list[float]:
    """The weights as shares that sum to 1."""
    given = [source.weight for source in sources]
    if len(sources) < 2 or len({source.path for source in sources}) < len(sources):
        raise RecipeError(
            f"stage mix: {len(sources)} sources are given, and two or more different files are mixed. "
            'Write sources = [{ path = "rich.jsonl" }, { path = "simple.jsonl" }].'
        )
    if given == [None, None]:
        return list(WEIGHTS)
    if None in given or not sum(given):  # type: ignore[arg-type]
        raise RecipeError(
            f"stage mix: the weights {given} make no shares. Give every source a weight, one of them above 0; only two "
            f"sources may leave them out, which is {WEIGHTS[0]} and {WEIGHTS[1]}."
        )
    return [weight / sum(given) for weight in given]  # type: ignore[arg-type, operator]


@dataclass(frozen=True)
class Pool:
    """The text of a source for each prompt that it has one for, by the example's id; and what was left out."""

    texts: Mapping[str, tuple[str, tuple[int, ...]]]
    counts: Mapping[str, float]


def read_pool(renderer: Renderer, path: Path, examples: Sequence[Example], keep: Keep, seed: int) -> Pool:
    """One text for each prompt that a file answers, drawn from those that can be learned from; with its tokens."""
    found, counts = read_texts(path, examples, keep)
    counts = {**counts, "too_long": 0}
    by_id: dict[str, list[tuple[str, tuple[int, ...]]]] = {}
    for example, text, _ in found:
        ids = tuple(renderer.completion(text))
        if fits(renderer, zero_shot(example), ids):
            by_id.setdefault(example.id, []).append((text, ids))
        else:
            counts["too_long"] += 1
            counts["kept"] -= 1
    drawn = {identity: stream(seed, "mix-text", identity).choice(own) for identity, own in by_id.items()}
    return Pool(drawn, counts)


def assign(
    prompts: Sequence[Example], pools: Sequence[Pool], weights: Sequence[float], seed: int, *, unit: Unit, exact: bool
) -> list[int]:
    """The source of each prompt's answer, by its index.

    exact: in random order, prompts with the fewest sources first, each goes to the source that is furthest behind its
    share. A text's own length does not decide whether it is taken.
    """

    def size(source: int, example: Example) -> int:
        return len(pools[source].texts[example.id][1]) if unit == "token" else 1

    options = {e.id: [i for i, w in enumerate(weights) if w and e.id in pools[i].texts] for e in prompts}
    mean = [fmean([size(i, e) for e in prompts if i in options[e.id]] or [1]) for i in range(len(pools))]
    if not exact:
        rng = stream(seed, "mix-sources")
        drawn = [rng.choices(own, [weights[i] / mean[i] for i in own]) for own in options.values()]
        return [index for (index,) in drawn]
    order = list(prompts)
    stream(seed, "mix-order").shuffle(order)
    taken, chosen = [0.0] * len(pools), dict[str, int]()
    step = fmean(mean[i] for i, weight in enumerate(weights) if weight)
    for example in sorted(order, key=lambda e: len(options[e.id])):
        so_far = sum(taken) + step
        index = max(options[example.id], key=lambda i: weights[i] * so_far - taken[i])
        chosen[example.id] = index
        taken[index] += size(index, example)
    return [chosen[example.id] for example in prompts]


def realised(traces: Sequence[Trace], source: Texts, pool: Pool, weight: float) -> dict[str, Any]:
    """What became of a source: its texts, and its shares of prompts and tokens beside the one that was asked for."""
    own = [len(trace.ids) for trace in traces if trace.source == str(source.path)]
    return {
        **pool.counts, "weight": weight, "prompts": len(own), "prompt_share": len(own) / len(traces),
        "answer_tokens": sum(own), "token_share": sum(own) / sum(len(trace.ids) for trace in traces),
    }  # fmt: skip


def _prompts(
    examples: Sequence[Example], pools: Sequence[Pool], weights: Sequence[float], total: int | None, seed: int, *,
    intersect: bool,
) -> list[Example]:  # fmt: skip
    """The prompts of the mixture, in the order of the data; the same for all weights where sources intersect."""
    active = [pool for pool, weight in zip(pools, weights, strict=True) if weight]
    prompts = [e for e in examples if any(e.id in pool.texts for pool in active)]
    if intersect:
        prompts = [e for e in examples if all(e.id in pool.texts for pool in pools)]
    if not prompts or len(prompts) < (total or 0):
        how = "every source" if intersect else "a source"
        raise DataError(
            f"stage mix: {len(prompts)} of {len(examples)} training prompts have a text to learn from in {how}, and "
            f'{total or 1} are needed. Lower total, set intersect = false or keep = "all", or write more texts.'
        )
    if total is None:
        return prompts
    kept = stream(seed, "mix-prompts").sample(range(len(prompts)), total)
    return [prompts[index] for index in sorted(kept)]


def _trace(source: Texts, pool: Pool, example: Example, keep: Keep) -> Trace:
    text, ids = pool.texts[example.id]
    correct = keep == "correct" or judge(text, example).correct
    return Trace(example.id, tuple(zero_shot(example)), text, ids, str(source.path), correct)
