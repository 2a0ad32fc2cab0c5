"""Mixtures of sources: one answer a prompt, in the shares that were asked for, of prompts that all of them solved."""

import json
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from stage_runs import perform

from whit.core.errors import DataError, RecipeError
from whit.core.files import read_rows, write_rows
from whit.core.types import Artifact, Example
from whit.stages._traces import Trace, load_traces
from whit.stages.mix import WEIGHTS, Pool, Texts, assign, shares_of
from whit.testing.run import tiny_run

PROMPTS = [Example(f"e{n}", f"{n}?", str(n)) for n in range(200)]


def pool(lengths: dict[str, int] | int) -> Pool:
    own = {e.id: lengths for e in PROMPTS} if isinstance(lengths, int) else lengths
    return Pool({identity: ("text", (0,) * length) for identity, length in own.items()}, {})


LONG, SHORT = pool(100), pool(10)


@pytest.fixture
def texts(sums, tmp_path):
    """A file of texts for every prompt of the sums; `change` may alter, repeat or drop rows."""

    def texts(name: str, filler: str, change=lambda number, row: [row]) -> dict[str, str]:
        rows = []
        for number, row in enumerate(read_rows(sums)):
            text = {"prompt": row["prompt"], "completion": f"{filler}\n#### {row['answer']}", "flops": 1e9}
            rows += change(number, text)
        write_rows(tmp_path / f"{name}.jsonl", rows)
        return {"path": str(tmp_path / f"{name}.jsonl")}

    return texts


@pytest.fixture
def mixed(tiny_model, sums, tmp_path):
    places = iter(range(100))

    def mixed(*sources, seed=0, **settings) -> tuple[list[Trace], dict, Artifact]:
        run = tiny_run(tmp_path / f"mix{next(places)}", task=str(sums), seed=seed)
        artifact = perform("mix", tiny_model, run, sources=list(sources), **settings)
        return load_traces(artifact, "sft"), json.loads((artifact.path / "report.json").read_text()), artifact

    return mixed


def rich_share(traces: list[Trace]) -> float:
    return sum("rich" in Path(trace.source).name for trace in traces) / len(traces)


def test_one_answer_a_prompt_a_fifth_of_them_from_the_first_source(texts, mixed):
    traces, report, artifact = mixed(texts("rich", "Long and rich."), texts("simple", "Short."))
    assert len(traces) == len({trace.id for trace in traces}) == 40
    assert rich_share(traces) == 0.2
    rich, simple = report["sources"].values()
    assert (rich["prompts"], simple["prompts"], rich["weight"]) == (8, 32, 0.2)
    assert rich["answer_tokens"] == sum(len(t.ids) for t in traces if "rich" in Path(t.source).name)
    assert rich["token_share"] + simple["token_share"] == pytest.approx(1)
    assert rich["token_share"] > rich["prompt_share"] == 0.2
    assert artifact.facts()["outcome"]["texts"]["flops"] == 120e9


@pytest.mark.parametrize(("weights", "pure"), [((1, 0), 0), ((0, 1), 1)])
@pytest.mark.parametrize("intersect", [True, False])
def test_weights_of_one_and_nothing_give_the_pure_set_in_the_same_order(weights, pure, intersect, texts, mixed, sums):
    def twice(number, row):  # several texts a prompt, of which one is drawn
        return [row, {**row, "completion": f"Again. {row['completion']}"}]

    sources = [texts("rich", "Rich.", twice), texts("simple", "Simple.", twice)]
    weighed = [{**source, "weight": weight} for source, weight in zip(sources, weights, strict=True)]
    traces, *_ = mixed(*weighed, intersect=intersect)
    other = texts("other", "Other.")
    alone = [{**sources[pure], "weight": 1}, {**other, "weight": 0}]
    assert traces == mixed(*alone, intersect=intersect)[0]
    assert {trace.source for trace in traces} == {sources[pure]["path"]}
    assert [trace.id for trace in traces] == [trace.id for trace in mixed(*sources)[0]]


@given(count=st.integers(1, 200), weight=st.floats(0, 1))
def test_exact_shares_are_the_nearest_whole_number_of_prompts(count, weight):
    chosen = assign(PROMPTS[:count], [LONG, SHORT], [weight, 1 - weight], 0, unit="prompt", exact=True)
    assert abs(chosen.count(0) - weight * count) <= 0.5 + 1e-9


def test_which_prompts_are_rich_is_random_and_depends_on_the_seed():
    one, same, other = (assign(PROMPTS, [LONG, SHORT], WEIGHTS, seed, unit="prompt", exact=True) for seed in (0, 0, 1))
    assert one == same != other
    assert [chosen.count(0) for chosen in (one, other)] == [40, 40]


def test_drawn_shares_are_within_binomial_error():
    chosen = assign(PROMPTS, [LONG, SHORT], [0.5, 0.5], 0, unit="prompt", exact=False)
    assert 0 < abs(chosen.count(0) - 100) < 3 * 50**0.5


def test_long_traces_at_a_fifth_of_the_prompts_have_71_percent_of_the_tokens_and_by_tokens_a_fifth():
    def token_share(unit, exact):
        chosen = assign(PROMPTS, [LONG, SHORT], WEIGHTS, 0, unit=unit, exact=exact)
        return 100 * chosen.count(0) / (100 * chosen.count(0) + 10 * chosen.count(1))

    assert token_share("prompt", True) == pytest.approx(0.2 * 10 / (0.2 * 10 + 0.8))
    assert token_share("token", True) == pytest.approx(0.2, abs=100 / 2400)  # a long text more or less
    assert token_share("token", False) == pytest.approx(0.2, abs=0.15)


def test_three_sources_share_as_their_weights_say():
    chosen = assign(PROMPTS, [LONG, SHORT, SHORT], [0.5, 0.3, 0.2], 0, unit="prompt", exact=True)
    assert Counter(chosen) == {0: 100, 1: 60, 2: 40}


def test_prompts_that_one_source_lacks_come_from_the_other_and_count():
    some = pool({e.id: 100 for e in PROMPTS[:50]})
    chosen = assign(PROMPTS, [some, SHORT], [0.2, 0.8], 0, unit="prompt", exact=True)
    assert chosen.count(0) == 40 and set(chosen[50:]) == {1}


def test_only_prompts_that_every_source_solved_unless_told_otherwise(texts, mixed):
    def wrong_below(limit):
        return lambda number, row: [{**row, "completion": "#### -1"} if number < limit else row]

    sources = [texts("rich", "Rich.", wrong_below(10)), texts("simple", "Simple.")]
    traces, report, _ = mixed(*sources)
    assert len(traces) == 30 and report["left_out"] == 10 and all(trace.correct for trace in traces)
    assert report["sources"][sources[0]["path"]]["refused"] == 10
    traces, report, _ = mixed(*sources, intersect=False)
    assert len(traces) == 40 and rich_share(traces) == 0.2
    traces, report, _ = mixed(*sources, keep="all")
    assert len(traces) == 40 and report["left_out"] == 0
    assert sum(not trace.correct for trace in traces) == sum(trace.text == "#### -1" for trace in traces) > 0


def test_texts_that_were_cut_off_or_are_too_long_are_dropped_and_counted(texts, mixed):
    def broken(number, row):
        if number < 3:
            return [{**row, "finish": "length"}]
        return [{**row, "completion": "long " * 400 + row["completion"]}] if number < 5 else [row]

    traces, report, _ = mixed(texts("rich", "Rich.", broken), texts("simple", "Simple."))
    rich = next(iter(report["sources"].values()))
    assert (rich["cut_off"], rich["too_long"], rich["kept"], rich["other_prompts"]) == (3, 2, 35, 20)
    assert len(traces) == 35


def test_so_many_prompts_the_same_for_all_weights(texts, mixed):
    rich, simple = texts("rich", "Rich."), texts("simple", "Simple.")
    few, *_ = mixed(rich, simple, total=10)
    assert len(few) == 10 and rich_share(few) == 0.2
    swapped, *_ = mixed({**rich, "weight": 0.8}, {**simple, "weight": 0.2}, total=10)
    assert [trace.id for trace in swapped] == [trace.id for trace in few] and rich_share(swapped) == 0.8
    with pytest.raises(DataError, match=r"40 of 40 training prompts .* and 41 are needed"):
        mixed(rich, simple, total=41)


def test_shares_are_the_weights_scaled_to_one():
    def named(*weights):
        return [Texts(path=Path(f"{n}.jsonl"), weight=weight) for n, weight in enumerate(weights)]

    assert shares_of(named(None, None)) == [0.2, 0.8]
    assert shares_of(named(1, 3)) == [0.25, 0.75]
    for wrong, message in (
        ((1,), "two or more different files"), ((), "two or more different files"), ((0, 0), "make no shares"),
        ((None, 1), "make no shares"), ((None, None, None), "make no shares"),
    ):  # fmt: skip
        with pytest.raises(RecipeError, match=message):
            shares_of(named(*wrong))
    with pytest.raises(RecipeError, match="different files"):
        shares_of([Texts(path=Path("a.jsonl")), Texts(path=Path("a.jsonl"))])
