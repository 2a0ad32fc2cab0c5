"""Four formats of the same problems: how many examples each has, what they ask, and what is taught."""

import json

import pytest
from stage_runs import perform, weights_hash

from whit.core.answers import INSTRUCTIONS
from whit.core.errors import DataError, RecipeError
from whit.core.types import Example
from whit.data.render import Renderer
from whit.prompting.zero_shot import zero_shot
from whit.stages._setup import gold_documents
from whit.stages._task import load_task
from whit.stages._traces import Trace, load_traces
from whit.stages.specialize import FORMATS, Formats, Maker, Solution, shares, solutions
from whit.testing.run import tiny_run
from whit.testing.tiny import tiny_tokenizer

RENDERER = Renderer(tiny_tokenizer(), max_length=10_000)
ONLY = {name: Formats(**{**dict.fromkeys(FORMATS, 0.0), name: 1.0}) for name in FORMATS}


def problems(count: int) -> list[Example]:
    return [
        Example(f"e{n}", f"{n} + 1?", str(n + 1), rationale=f"{n} + 1 = <<{n}+1={n + 1}>>{n + 1}.")
        for n in range(count)
    ]


def trace(example: Example, text: str, correct: bool | None = True, *, ends: bool = True) -> Trace:
    ids = RENDERER.completion(text)
    return Trace(example.id, tuple(zero_shot(example)), text, tuple(ids if ends else ids[:-1]), "student", correct)


def made(examples, *, renderer=RENDERER, formats=Formats(), traces=None, cap=10, seed=0, demonstrations=4):
    found, counts = solutions(examples, traces, renderer, cap, seed)
    maker = Maker(renderer, [e for e in examples if e.id in found], found, formats, demonstrations, seed)
    return list(maker), {**counts, **maker.counts}


def of(pairs, name):
    return [trace for kind, trace in pairs if kind == name]


def test_a_problem_gives_one_answer_and_every_solution_to_each_pair_of_formats():
    one, two, unsolved = problems(3)
    traces = [trace(one, text) for text in ("Add.\n#### 1", "Count.\n#### 1", "Think.\n#### 1")] + [
        trace(two, "#### 2")
    ]
    pairs, counts = made([one, two, unsolved], traces=traces)
    assert {name: len(of(pairs, name)) for name in FORMATS} == {
        "zero_shot_answer": 2, "zero_shot_cot": 4, "in_context_answer": 2, "in_context_cot": 4,
    }  # fmt: skip
    assert counts["unsolved"] == 1


def test_what_each_format_asks_and_teaches():
    pairs, _ = made(problems(9))
    bare, cot, answer, shown = (next(t for t in of(pairs, name) if t.id == "e0") for name in FORMATS)
    assert (bare.text, cot.text) == ("#### 1", "0 + 1 = 1.\n#### 1")  # the calculator's note is gone
    assert (answer.text, shown.text) == (bare.text, cot.text)
    assert cot.messages == tuple(zero_shot(problems(1)[0]))  # what it is measured with
    assert bare.messages[-1].content == f"0 + 1?\n{INSTRUCTIONS['plain']}" == answer.messages[-1].content
    assert shown.messages[-1] == cot.messages[-1]
    assert [m.role for m in shown.messages] == ["user", "assistant"] * 4 + ["user"]
    assert all(INSTRUCTIONS["plain"] in m.content for m in answer.messages[::2])
    assert all(m.content.startswith("#### ") for m in answer.messages[1::2])
    assert all(" + 1 = " in m.content and "<<" not in m.content for m in shown.messages[1::2])


def test_one_format_is_ordinary_fine_tuning():
    examples = [Example(f"e{n}", f"{n} + 1?", str(n + 1), rationale=f"{n} + 1 = {n + 1}.") for n in range(20)]
    for name, with_rationale in (("zero_shot_cot", True), ("zero_shot_answer", False)):
        if not with_rationale:  # asked in the task's own words where there is no other way
            examples = [Example(e.id, e.prompt, e.gold, rationale="-", answer_format="plain") for e in examples]
        pairs, _ = made(examples, formats=ONLY[name])
        expected = gold_documents(RENDERER, examples, with_rationale=with_rationale)
        assert [t.document(RENDERER) for _, t in pairs] == expected


@pytest.mark.parametrize("seed", range(3))
def test_a_problem_is_never_its_own_demonstration(seed):
    twins = [Example(f"t{n}", "3 + 1?", "4", rationale="3 + 1 = 4.") for n in range(2)]  # one question under two ids
    kin = [Example(f"k{n}", f"{n} + 90?", str(n + 90), rationale="Add.", group="kin") for n in range(2)]
    examples = [*problems(6), *twins, *kin]
    prompts = {e.id: e.prompt for e in examples}
    for _, found in made(examples, seed=seed)[0]:
        shown = [message.content.partition("\n")[0] for message in found.messages[:-1:2]]
        assert prompts[found.id] not in shown
        if found.id.startswith("k"):
            assert not {"0 + 90?", "1 + 90?"} & set(shown)


def test_no_token_of_a_demonstration_is_supervised():
    for found in of(made(problems(9))[0], "in_context_cot"):
        document = found.document(RENDERER)
        ((start, end),) = document.spans
        assert end == len(document.ids) and RENDERER.decode(document.ids[start:end]) == found.text


def test_easy_problems_are_capped_and_what_is_wrong_or_unfinished_is_refused():
    easy, hard = problems(2)
    traces = [trace(easy, f"Way {n}.\n#### 1") for n in range(30)]
    traces += [
        trace(hard, "Wrong.\n#### 9", correct=False), trace(hard, "Cut.\n#### 2", ends=False),
        trace(hard, "Not judged.\n#### 2", correct=None), trace(hard, "Nor this.\n#### 3", correct=None),
        Trace("elsewhere", (), "#### 1", (1,), "student", True),
    ]  # fmt: skip
    found, counts = solutions([easy, hard], traces, RENDERER, 10, seed=0)
    assert len(found["e0"]) == 10 and [s.text for s in found["e1"]] == ["Not judged.\n#### 2"]
    assert counts == {"refused": 4, "capped": 20, "unsolved": 0}
    assert solutions([easy, hard], traces, RENDERER, 10, seed=1)[0]["e0"] != found["e0"]


def test_a_trace_keeps_its_own_tokens():
    example, *_ = problems(1)
    written = Trace(example.id, (), "odd", (7, 8, RENDERER.end_of_turn), "student", True)
    found, _ = solutions([example], [written, written], RENDERER, 10, seed=0)
    assert found == {"e0": [Solution("odd", "student", (7, 8, RENDERER.end_of_turn))]}
    pairs, _ = made([example], traces=[written], formats=ONLY["zero_shot_cot"])
    assert pairs[0][1].ids == written.ids and pairs[0][1].source == "student"


def test_weights_say_how_many_times_a_format_is_taken():
    formats = Formats(zero_shot_answer=0.0, zero_shot_cot=2.0, in_context_answer=0.25, in_context_cot=1.5)
    pairs, _ = made(problems(20), formats=formats)
    assert [len(of(pairs, name)) for name in FORMATS] == [0, 40, 5, 30]
    again = [
        t.messages
        for t in of(pairs, "in_context_cot")
        if len([o for o in of(pairs, "in_context_cot") if o.id == t.id]) == 2
    ]
    assert len(set(again)) == len(again)  # a second time with other demonstrations


def test_where_the_context_is_short_there_are_fewer_demonstrations_or_the_example_is_left_out():
    examples = problems(9)
    whole, counts = made(examples, formats=ONLY["in_context_cot"])
    assert counts["too_long"] == counts["fewer_demonstrations"] == 0
    longest = max(len(t.document(RENDERER).ids) for _, t in whole)
    tight = Renderer(tiny_tokenizer(), max_length=longest // 2)
    short, counts = made(examples, renderer=tight, formats=ONLY["in_context_cot"])
    assert counts["fewer_demonstrations"] == len(short) == 9
    assert all(1 < len(t.messages) < 9 and len(t.document(tight).ids) <= tight.max_length for _, t in short)
    tightest = Renderer(tiny_tokenizer(), max_length=longest // 5)
    none, counts = made(examples, renderer=tightest, formats=ONLY["in_context_cot"])
    assert (len(none), counts["too_long"]) == (0, 9)


def test_the_report_holds_the_share_of_tokens_of_each_format(tiny_model, sums, tmp_path):
    artifact = perform("specialize", tiny_model, tiny_run(tmp_path / "a", task=str(sums)))
    report = json.loads((artifact.path / "report.json").read_text())
    traces = load_traces(artifact, "sft")
    assert report["formats"].keys() == set(FORMATS)
    assert sum(row["examples"] for row in report["formats"].values()) == report["kept"] == len(traces)
    assert sum(row["tokens"] for row in report["formats"].values()) == sum(len(t.ids) for t in traces)
    assert sum(row["token_share"] for row in report["formats"].values()) == pytest.approx(1)
    assert shares([]) == {name: {"examples": 0, "tokens": 0, "token_share": 0.0} for name in FORMATS}


def test_zero_shot_chains_alone_train_the_weights_of_plain_fine_tuning(tiny_model, sums, tmp_path):
    settings = {"batch_documents": 4, "optim": {"lr": 1e-2}}
    formats = {**dict.fromkeys(FORMATS, 0.0), "zero_shot_cot": 1.0}
    data = perform("specialize", tiny_model, tiny_run(tmp_path / "t", task=str(sums)), formats=formats)
    ours = perform("sft", data.path, tiny_run(tmp_path / "a", 2e8, task=str(sums)), **settings, source="traces")
    theirs = perform("sft", tiny_model, tiny_run(tmp_path / "b", 2e8, task=str(sums)), **settings)
    assert weights_hash(ours) == weights_hash(theirs)


def test_nothing_to_make_is_refused(tiny_model, sums, tmp_path):
    run = tiny_run(tmp_path / "a", task=str(sums))
    with pytest.raises(RecipeError, match="every weight in formats is 0"):
        perform("specialize", tiny_model, run, formats=dict.fromkeys(FORMATS, 0.0))
    with pytest.raises(DataError, match="holds none"):
        perform("specialize", tiny_model, run, source="traces")
    with pytest.raises(DataError, match="no training problem has a right solution"):
        solutions(load_task(str(sums)).take("train"), [], RENDERER, 10, 0)
