"""Distillation as a stage: which text, which teacher, what is refused, and that a kill changes nothing."""

import json
import shutil
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from stage_runs import BUDGET, SMALL, flops_of, metrics, perform, weights_hash

from whit.algorithms._returns import returns_of, whitened
from whit.core.errors import BudgetError, DataError, RecipeError
from whit.core.rundir import Run
from whit.core.types import Artifact, Message
from whit.data.batch import Document
from whit.data.render import Renderer
from whit.data.tokenizer import train_tokenizer
from whit.generation.duet import Text
from whit.generation.engine import Engine
from whit.generation.sampler import GREEDY
from whit.models.load import Policy, load_policy
from whit.recipes.pipeline import fingerprint, stage_facts
from whit.recipes.recipe import Recipe
from whit.stages._kinds import needs_teacher
from whit.stages._model import renderer_of
from whit.stages._policy import validation
from whit.stages._setup import gold_documents, mean_logprob, set_up
from whit.stages._task import load_task
from whit.stages._teachers import _check_room, _with_twin, live_teacher, other_teacher
from whit.stages._traces import REPORT, Trace, load_traces
from whit.stages._written import beginning, chosen
from whit.stages.minillm import _gold, _rollouts
from whit.stages.prefixes import _retold
from whit.testing.run import as_artifact, tiny_run
from whit.testing.tiny import tiny_decoder
from whit.testing.tiny import tiny_model as make_model
from whit.training.optim import Optim

TERMS = {"taid": [{"objective": "taid"}], "reverse": [{"objective": "reverse_kl"}]}
WORDS = ("The sum of two and three is five.", "4 + 5 = 9, and the answer is nine.", "What is 6 + 7? It is 13.")


@pytest.fixture(scope="module")
def teacher(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_model(tmp_path_factory.mktemp("teacher") / "teacher", seed=7)


@pytest.fixture(scope="module")
def foreign(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A teacher with another tokenizer."""
    path = tmp_path_factory.mktemp("foreign") / "foreign"
    tokenizer = train_tokenizer(WORDS, vocab_size=330, max_length=256)
    decoder = tiny_decoder(9, torch.float32, vocab_size=len(tokenizer), max_length=256)
    Policy(decoder, tokenizer, path).save(path)
    return path


@pytest.fixture
def distil(tiny_model, teacher, sums, tmp_path):
    """The artifact of `kd`, or of another stage, from the tiny model on the file of sums."""

    def distil(place: str = "a", stage: str = "kd", start: Artifact | None = None, **settings: Any) -> Artifact:
        given = {
            k: settings.pop(k) for k in ("notify", "checkpoint_seconds", "seed", "max_new_tokens") if k in settings
        }
        budget, taught = settings.pop("budget", BUDGET), settings.pop("teacher", str(teacher))
        task = settings.pop("task", str(sums))
        run: Run = tiny_run(tmp_path / place, budget, task=task, teacher=taught, **given)
        if stage == "kd":
            settings = {**SMALL, **settings}
        return perform(stage, (start or as_artifact(tiny_model)).path, run, **settings)

    return distil


@pytest.mark.parametrize(
    "settings",
    [
        {"terms": TERMS["taid"], "interpolation": {"alpha": 0.5}},
        {"terms": TERMS["reverse"], "replay": {"eps": 0.0, "every": 1, "capacity": 3, "items": 2}},
        {"terms": TERMS["reverse"], "pairs": True, "batch_documents": 2},
        {"terms": [{"objective": "hidden_mse"}], "hidden_layers": [[0, -1]]},
    ],
    ids=["taid", "replay", "pairs", "hidden"],
)
def test_killed_and_resumed_it_ends_as_if_nothing_had_happened(settings, distil):
    def kill(line: dict[str, Any]) -> None:
        if line.get("step") == 2:
            raise InterruptedError

    whole = distil("whole", **settings)
    with pytest.raises(InterruptedError):
        distil("cut", notify=kill, checkpoint_seconds=0, **settings)
    cut = distil("cut", checkpoint_seconds=0, **settings)
    assert weights_hash(cut) == weights_hash(whole)
    assert flops_of(cut) == flops_of(whole)
    assert len(metrics(whole)) > 4


def test_replay_asks_for_the_students_text_when_the_validation_loss_does_not_fall(distil):
    # eps 0 counts a loss that is equal too, and at this rate nothing moves.
    lines = metrics(distil(terms=TERMS["reverse"], replay={"eps": 0.0, "every": 1, "items": 2}, optim={"lr": 1e-300}))
    probabilities = [line["student_probability"] for line in lines]
    assert probabilities[0] == 0.0
    assert probabilities == sorted(probabilities)
    assert probabilities[-1] > 0.2
    assert any(line["on_policy"] for line in lines)


def test_replay_asks_for_nothing_while_the_validation_loss_falls(distil):
    terms = [{"objective": "cross_entropy"}, {"objective": "reverse_kl", "on": "student"}]
    lines = metrics(distil(terms=terms, replay={"eps": 0.0, "every": 1, "items": 2}, optim={"lr": 1e-3}))
    assert len(lines) > 4
    assert not any(line["student_probability"] for line in lines)


def test_pairs_give_each_side_its_own_terms(distil):
    terms = [
        {"objective": "skew_kl", "on": "data", "reduction": "sequence"},
        {"objective": "skew_reverse_kl", "on": "student", "reduction": "sequence"},
    ]
    both = metrics(distil("both", pairs=True, terms=terms, batch_documents=2))[0]
    data = metrics(distil("data", terms=terms[:1], batch_documents=2))[0]
    assert both["skew_kl"] == pytest.approx(data["skew_kl"], rel=1e-6)
    assert both["skew_reverse_kl"] > 0
    assert both["supervised_tokens"] > data["supervised_tokens"]


def test_two_equal_teachers_are_one(distil, teacher):
    one = distil("one", terms=TERMS["reverse"], budget=BUDGET)
    two = distil("two", terms=TERMS["reverse"], teachers=[{"model": str(teacher), "weight": 3.0}], budget=2 * BUDGET)
    assert metrics(two)[0]["reverse_kl"] == pytest.approx(metrics(one)[0]["reverse_kl"], rel=1e-9)
    assert metrics(two)[0]["grad_norm"] == pytest.approx(metrics(one)[0]["grad_norm"], rel=1e-9)
    assert metrics(two)[0]["flops"] > metrics(one)[0]["flops"]  # each of them is asked


def test_a_teacher_that_outweighs_the_runs_own_is_as_good_as_alone(distil, tmp_path):
    heavy = str(make_model(tmp_path / "heavy", seed=8))
    alone = distil("alone", terms=TERMS["reverse"], teacher=heavy)
    beside = distil("beside", terms=TERMS["reverse"], teachers=[{"model": heavy, "weight": 1e9}], budget=2 * BUDGET)
    assert metrics(beside)[0]["reverse_kl"] == pytest.approx(metrics(alone)[0]["reverse_kl"], rel=1e-6)


def test_a_cache_of_many_tokens_trains_nearly_as_the_live_teacher_and_costs_its_pass_once(distil):
    cache = distil("cache", stage="cache", kept=255, budget=1e9)
    report = json.loads((cache.path / REPORT).read_text())
    assert report["bytes_per_token"] > 1000
    assert report["cached_tokens"] == report["tokens"]
    settings: dict[str, Any] = {"epochs": 2, "budget": None, "text": "traces"}
    kept = distil("kept", start=cache, cached=True, terms=[{"objective": "topk_kl"}], **settings)
    live = distil("live", start=cache, terms=[{"objective": "forward_kl"}], **settings)
    losses = [[line[name] for line in metrics(a)] for a, name in ((kept, "topk_kl"), (live, "forward_kl"))]
    assert losses[0] == pytest.approx(losses[1], rel=1e-2)
    assert "teacher" not in kept.facts()["ledger"]["accounts"]
    spent = live.facts()["ledger"]["accounts"]["teacher"]["flops"]
    assert spent == pytest.approx(2 * flops_of(cache), rel=0.05)


def test_a_cache_of_drawn_tokens_is_trained_on(distil):
    cache = distil("cache", stage="cache", keep="sampled", budget=1e9)
    lines = metrics(distil(start=cache, cached=True, text="traces", terms=[{"objective": "sampled_kl"}]))
    assert lines[-1]["sampled_kl"] < lines[0]["sampled_kl"]


def test_a_cache_asks_about_as_many_texts_as_its_budget_pays_for(distil):
    whole, part = (distil(place, stage="cache", budget=b) for place, b in (("a", 1e9), ("b", 2e7)))
    assert 0 < len(load_traces(part, "kd")) < len(load_traces(whole, "kd"))
    assert flops_of(part) <= 2e7
    with pytest.raises(BudgetError, match="the teacher's pass over one text"):
        distil("c", stage="cache", budget=1e3)


def test_a_cache_that_is_paid_for_in_part_is_of_texts_drawn_at_random(distil):
    one, two = ([t.id for t in load_traces(distil(str(s), stage="cache", budget=2e7, seed=s), "kd")] for s in (0, 1))
    assert set(one) != set(two)


def test_texts_that_a_cache_lacks_are_left_out_and_counted(distil, tmp_path):
    part = distil("part", stage="cache", budget=2e7)
    artifact = distil("kd", teacher=str(part.path / "teacher-cache"), terms=[{"objective": "topk_kl"}])
    counts = artifact.facts()["outcome"]["texts"]
    assert counts["kept"] == len(load_traces(part, "kd"))
    assert counts["not_in_the_cache"] > 0


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"on_policy": 0.5, "replay": {}}, "Leave all but one out"),
        ({"pairs": True, "terms": [{"objective": "cross_entropy"}]}, "needs a term that asks a live teacher"),
        ({"terms": [{"objective": "forward_kl", "on": "student"}]}, "the student writes nothing"),
        ({"terms": [{"objective": "hidden_mse"}]}, "Set hidden_layers"),
        ({"text": "traces"}, "Put a stage that makes them before it"),
        ({"cached": True, "terms": [{"objective": "topk_kl"}]}, "Put the stage `cache` before it"),
        ({"cached": True, "on_policy": 0.5}, "fresh text is not in it"),
    ],
)
def test_settings_that_exclude_one_another_are_refused(settings, message, distil):
    with pytest.raises((RecipeError, DataError), match=message):
        distil(**settings)


def test_a_cache_is_refused_for_another_teacher_another_template_and_another_objective(distil, tmp_path):
    cache = distil("cache", stage="cache", budget=1e9)
    other = make_model(tmp_path / "other", seed=8)
    settings: dict[str, Any] = {"start": cache, "cached": True, "text": "traces"}
    with pytest.raises(DataError, match="teacher"):
        distil("a", teacher=str(other), terms=[{"objective": "topk_kl"}], **settings)
    with pytest.raises(RecipeError, match="for a cache of kind 'sampled'"):
        distil("b", terms=[{"objective": "sampled_kl"}], **settings)
    with pytest.raises(RecipeError, match="needs a live teacher"):
        distil("c", terms=[{"objective": "sampled_reverse_kl"}], **settings)
    run = tiny_run(tmp_path / "d", BUDGET, task=None, teacher=str(cache.path / "teacher-cache"), template="plain")
    run.task = str(tmp_path / "sums.jsonl")
    (tmp_path / "sums.jsonl").write_text(
        "".join(
            json.dumps({"prompt": f"{i} + 1?", "answer": i + 1, "rationale": f"{i} + 1 = {i + 1}"}) + "\n"
            for i in range(40)
        )
    )
    with pytest.raises(DataError, match="template"):
        perform("kd", cache.path, run, terms=[{"objective": "topk_kl"}])


def test_a_teacher_of_other_tokens_is_refused_with_what_works_instead(distil, foreign):
    for stage in ("kd", "cache", "rsd", "minillm"):
        with pytest.raises(RecipeError, match="uld and byte_merge"):
            distil(stage, stage=stage, teacher=str(foreign))


@pytest.mark.parametrize("objective", ["uld", "byte_merge"])
@pytest.mark.parametrize("alignment", ["bytes", "index"])
def test_a_teacher_of_other_tokens_teaches_by_losses_that_compare_them(objective, alignment, distil, foreign):
    lines = metrics(distil(teacher=str(foreign), alignment=alignment, terms=[{"objective": objective}]))
    assert lines[-1][objective] < lines[0][objective]


def test_on_policy_text_is_compared_with_a_teacher_of_other_tokens_where_it_can_be(distil, foreign):
    lines = metrics(distil(teacher=str(foreign), on_policy=1.0, terms=[{"objective": "uld"}], max_new_tokens=20))
    assert sum(line.get("supervised_tokens", 0) for line in lines) > 0


def test_a_twin_says_the_same_text_and_its_groups_end_at_the_same_bytes(tiny_model, foreign):
    student, teacher = load_policy(tiny_model), load_policy(foreign)
    ours, theirs = (Renderer(p.tokenizer, max_length=256) for p in (student, teacher))
    messages = [Message("user", "What is 2 + 3?")]
    for text in ("2 + 3 = 5.\n#### 5", "The sum of two and three is five — naïve 数.", " 9", ""):
        document = ours.document(messages, text)
        found = _with_twin(messages, document, ours, theirs, "bytes")
        assert found is not None and found.twin is not None
        twin, groups = found.twin.document, found.twin.groups
        assert twin.ids == theirs.document(messages, text).ids
        assert sum(own for own, _ in groups) == document.num_supervised
        assert sum(other for _, other in groups) == twin.num_supervised
        assert groups[-1] == (1, 1)  # both end their turn
        place, other_place = document.spans[0][0], twin.spans[0][0]
        for own, other in groups[:-1]:
            mine = ours.tokenizer.decode(document.ids[place : place + own])
            assert mine == theirs.tokenizer.decode(twin.ids[other_place : other_place + other])
            place, other_place = place + own, other_place + other


def test_a_completion_that_stops_inside_a_character_has_no_twin(tiny_model, foreign):
    student, teacher = load_policy(tiny_model), load_policy(foreign)
    ours, theirs = (Renderer(p.tokenizer, max_length=256) for p in (student, teacher))
    whole = ours.document([Message("user", "?")], "数")
    cut = Document(whole.ids[:-2], ((whole.spans[0][0], len(whole.ids) - 2),))
    assert _with_twin([Message("user", "?")], cut, ours, theirs, "bytes") is None


def test_a_text_that_the_other_tokenizer_changes_has_no_twin(tiny_model, foreign):
    from tokenizers.normalizers import Lowercase

    student, teacher = load_policy(tiny_model), load_policy(foreign)
    teacher.tokenizer.backend_tokenizer.normalizer = Lowercase()
    ours, theirs = (Renderer(p.tokenizer, max_length=256) for p in (student, teacher))
    asked = [Message("user", "?")]
    assert _with_twin(asked, ours.document(asked, "five"), ours, theirs, "bytes") is not None
    assert _with_twin(asked, ours.document(asked, "Five"), ours, theirs, "bytes") is None


def test_texts_too_long_for_the_teacher_of_other_tokens_are_left_out_and_counted(distil, foreign, sums, tmp_path):
    rows = [json.loads(line) for line in sums.read_text().splitlines()]
    for row in rows[:3]:
        row["rationale"] = "?" * 150
    (tmp_path / "task.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    short = tmp_path / "short"
    tokenizer = load_policy(foreign).tokenizer
    Policy(tiny_decoder(9, torch.float32, vocab_size=len(tokenizer), max_length=128), tokenizer, short).save(short)
    settings: dict[str, Any] = {"teacher": str(short), "task": str(tmp_path / "task.jsonl")}
    lines = metrics(distil(terms=[{"objective": "uld"}], epochs=1, budget=1e10, **settings))
    assert sum(line.get("left_out", 0) for line in lines) == 3


@pytest.mark.parametrize(("prompt", "completion"), [("a " * 90, "b"), ("a", "b " * 90)])
def test_neither_a_prompt_nor_an_answer_that_fills_the_teachers_context_ends_the_stage(
    tiny_model, foreign, prompt, completion
):
    ours, theirs = (Renderer(load_policy(m).tokenizer, max_length=n) for m, n in ((tiny_model, 512), (foreign, 64)))
    asked = [Message("user", prompt)]
    assert _with_twin(asked, ours.document(asked, completion), ours, theirs, "bytes") is None


def test_the_students_own_texts_that_its_teacher_cannot_read_are_counted(distil, foreign, tmp_path):
    short, tokenizer = tmp_path / "short", load_policy(foreign).tokenizer
    Policy(tiny_decoder(9, torch.float32, vocab_size=len(tokenizer), max_length=40), tokenizer, short).save(short)
    lines = metrics(distil(terms=[{"objective": "uld"}], on_policy=1.0, teacher=str(short), max_new_tokens=30))
    assert any(line["left_out"] > 0 for line in lines)


def test_a_teachers_texts_that_were_cut_off_are_left_out_and_counted(distil):
    lines = metrics(distil(text="teacher", epochs=1, budget=1e10, max_new_tokens=60))
    cut = [round(4 * line["truncated"]) for line in lines]
    assert 0 < sum(cut) < 40
    assert [line["left_out"] for line in lines] == cut


def test_common_tokens_spell_the_same_bytes(tiny_model, foreign):
    student, teacher = load_policy(tiny_model), load_policy(foreign)
    found = other_teacher(student, teacher)
    pairs = list(zip(found.common_ids_C.tolist(), found.teacher_common_ids_C.tolist(), strict=True))
    assert len(pairs) > 200
    assert all(student.tokenizer.decode([a]) == teacher.tokenizer.decode([b]) for a, b in pairs)


def test_a_teacher_larger_than_memory_is_refused_with_what_fits(tmp_path):
    run = tiny_run(tmp_path / "a", dtype="bfloat16")
    with pytest.raises(BudgetError, match=r"takes 9313\.2 GiB in bfloat16.*B parameters fits.*whit cache"):
        _check_room("huge", 10**13, run)
    _check_room("small", 1000, run)


def test_texts_with_top_logprobs_are_distilled_from(distil, sums, tiny_model, tmp_path):
    tokenizer = load_policy(tiny_model).tokenizer
    rows = [json.loads(line) for line in sums.read_text().splitlines()]
    with (tmp_path / "texts.jsonl").open("w") as file:
        for row in rows:
            text = f"It is {row['answer']}."
            pieces = [tokenizer.decode([i]) for i in tokenizer(text, add_special_tokens=False)["input_ids"]]
            top = [[p, -0.1, [[p, -0.1], ["9", -3.0]]] for p in pieces]
            file.write(json.dumps({"prompt": row["prompt"], "completion": text, "top_logprobs": top}) + "\n")
    lines = metrics(distil(teacher=str(tmp_path / "texts.jsonl"), terms=[{"objective": "topk_kl"}]))
    assert lines[-1]["topk_kl"] < lines[0]["topk_kl"]
    (tmp_path / "bare.jsonl").write_text(json.dumps({"prompt": rows[0]["prompt"], "completion": "It is 3."}) + "\n")
    with pytest.raises(DataError, match="--logprobs 5"):
        distil("b", teacher=str(tmp_path / "bare.jsonl"), terms=[{"objective": "topk_kl"}])
    with pytest.raises(RecipeError, match="forward_kl asks a model"):
        distil("c", teacher=str(tmp_path / "bare.jsonl"), terms=[{"objective": "forward_kl"}])


def row(identity: str, ids: list[int], *, correct: bool = True, finish: str = "stop") -> dict[str, Any]:
    return {"id": identity, "ids": ids, "text": str(ids), "finish": finish, "correct": correct, "source": "teacher"}


def test_traces_are_whole_different_right_and_few_enough(tiny_model):
    from whit.core.types import Example

    examples = [Example("a", "?", "1"), Example("b", "?", "1")]
    renderer = Renderer(load_policy(tiny_model).tokenizer, max_length=256)
    rows = [
        row("a", [5, 6, 7]), row("a", [5, 6, 7]), row("a", [5], correct=False), row("a", [8, 9]), row("b", [4]),
        row("b", [4, 4], finish="length"), row("b", [1] * 300),
    ]  # fmt: skip
    found = chosen(rows, examples, renderer, keep="correct", take="first", per_problem=4)
    assert [list(t.ids) for t in found] == [[5, 6, 7], [8, 9], [4]]
    shortest = chosen(rows, examples, renderer, keep="all", take="shortest", per_problem=1)
    assert [list(t.ids) for t in shortest] == [[5], [4]]


@pytest.fixture
def accepting(sums, tmp_path) -> dict[str, str]:
    """The sums with a verifier that accepts whatever is not empty: a random model is never right."""
    (tmp_path / "own.py").write_text("def anything(completion, example):\n    return float(bool(completion))\n")
    return {"name": str(sums), "verifier": f"{tmp_path / 'own.py'}:anything"}


def made(stage: str, start: Path, task: Any, directory: Path, teacher: Path, **settings: Any) -> Artifact:
    run = tiny_run(directory, 2e9, task=task, teacher=str(teacher), max_new_tokens=settings.pop("max_new_tokens", 16))
    return perform(stage, start, run, **settings)


def report_of(artifact: Artifact) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((artifact.path / REPORT).read_text())
    return found


def test_the_teachers_texts_stand_in_the_students_template_and_tokens(tiny_model, teacher, accepting, tmp_path):
    artifact = made(
        "rejection", tiny_model, accepting, tmp_path / "a", teacher, samples=2, keep="all", max_new_tokens=100
    )
    renderer = renderer_of(load_policy(tiny_model))
    for trace in load_traces(artifact, "sft"):
        assert list(trace.ids) == renderer.completion(trace.text)
        assert trace.source == "teacher"
    found = report_of(artifact)
    assert found["written"] > found["kept"] + found["cut_off"] - 1
    assert found["logprob_kept"] < 0 and found["logprob_written"] < 0


def test_the_shortest_of_what_was_written_is_kept_where_it_is_asked_for(tiny_model, teacher, accepting, tmp_path):
    settings: dict[str, Any] = {"samples": 4, "per_problem": 1, "keep": "all", "max_new_tokens": 100}
    first, shortest = (
        {trace.id: len(trace.ids) for trace in load_traces(artifact, "sft")}
        for artifact in (
            made("rejection", tiny_model, accepting, tmp_path / take, teacher, take=take, **settings)
            for take in ("first", "shortest")
        )
    )
    assert first.keys() == shortest.keys()
    assert all(shortest[identity] <= first[identity] for identity in first)
    assert shortest != first


def test_prefixes_are_the_beginning_of_what_the_model_would_write(tiny_model, teacher, accepting, tmp_path):
    greedy = {"temperature": 0.0}
    artifact = made("prefixes", tiny_model, accepting, tmp_path / "a", teacher, tokens=5, sampling=greedy)
    policy = load_policy(tiny_model, dtype="float64")
    renderer = renderer_of(policy)
    traces = load_traces(artifact, "sft")
    engine = Engine(policy.decoder, renderer.stop_ids)
    prompts = [renderer.prompt(trace.messages) for trace in traces]
    written = engine.generate(prompts, GREEDY.model_copy(update={"max_new_tokens": 12}))
    assert [trace.ids for trace in traces] == [group[0].ids[:5] for group in written]
    cut = made("prefixes", artifact.path, accepting, tmp_path / "b", teacher, tokens=2, writer="traces")
    assert [trace.ids for trace in load_traces(cut, "sft")] == [trace.ids[:2] for trace in traces]


def test_the_higher_the_threshold_the_more_the_trace_is_the_students_own(tiny_model, teacher, accepting, tmp_path):
    means, accepted = [], []
    for number, threshold in enumerate((0.0, 0.01, 2.0)):
        settings = {
            "proposals": {"threshold": threshold},
            "samples": 4,
            "max_fallback": 1.0,
            "keep": "all",
            "prefix_tokens": 4,
        }
        found = report_of(made("rsd", tiny_model, accepting, tmp_path / str(number), teacher, **settings))
        means.append(found["logprob_written"])
        accepted.append(found["accepted_frac"])
    assert means == sorted(means)
    assert accepted[0] == 1.0 and accepted[-1] == 0.0
    assert accepted == sorted(accepted, reverse=True)


def test_problems_without_a_right_trace_keep_half_of_one_at_most(tiny_model, teacher, sums, tmp_path):
    run = tiny_run(tmp_path / "a", 2e9, task=str(sums), teacher=str(teacher), max_new_tokens=16)
    artifact = perform("rsd", tiny_model, run, samples=1, max_fallback=1.0, prefix_tokens=6)
    traces, stops = load_traces(artifact, "sft"), load_policy(tiny_model).tokenizer.eos_token_id
    assert report_of(artifact)["prefixes"] == len([t for t in traces if not t.correct]) > 0
    assert all(0 < len(t.ids) <= 6 and stops not in t.ids for t in traces if not t.correct)


def test_which_stages_ask_a_teacher():
    assert all(needs_teacher(kind, {}) for kind in ("kd", "cache", "rsd", "minillm", "rejection"))
    assert not any(needs_teacher(kind, {}) for kind in ("sft", "rl", "prefixes", "mix", "specialize", "step_by_step"))
    assert not needs_teacher("rejection", {"writer": "student"})
    assert needs_teacher("prefixes", {"writer": "teacher"})


def test_fine_tuning_on_traces_tells_how_likely_they_were_before_and_after(distil, tiny_model):
    cache = distil("cache", stage="cache", budget=1e9)
    outcome = distil("sft", stage="sft", start=cache, source="traces", batch_documents=4, optim={"lr": 1e-2}).facts()[
        "outcome"
    ]
    assert outcome["logprob_before"] < outcome["logprob_after"] < 0


def test_a_teachers_text_that_is_too_long_for_the_student_is_left_out_and_counted(distil, sums, tmp_path):
    rows = [json.loads(line) for line in sums.read_text().splitlines()]
    texts = ["1 " * 400 if n == 0 else "It is 3." for n in range(3)]
    lines = (json.dumps({"prompt": r["prompt"], "completion": t}) + "\n" for r, t in zip(rows, texts, strict=False))
    (tmp_path / "texts.jsonl").write_text("".join(lines))
    counts = distil(teacher=str(tmp_path / "texts.jsonl")).facts()["outcome"]["texts"]
    assert (counts["kept"], counts["too_long"]) == (2, 1)


def test_what_the_recipe_says_of_sampling_is_what_is_sampled(distil):
    lines = metrics(distil(on_policy=1.0, terms=TERMS["reverse"], sampling={"max_new_tokens": 3}, max_new_tokens=16))
    assert all(line["completion_tokens"] <= 3 for line in lines)


def test_greedy_text_of_the_student_is_the_same_for_every_seed(distil):
    settings: dict[str, Any] = {"on_policy": 1.0, "batch_documents": 40, "epochs": 1, "budget": 1e10}

    def loss(temperature: float, seed: int) -> float:
        sampling, place = {"temperature": temperature}, f"{temperature} {seed}"
        return metrics(distil(place, terms=TERMS["reverse"], sampling=sampling, seed=seed, **settings))[0]["reverse_kl"]

    assert loss(0.0, seed=0) == pytest.approx(loss(0.0, seed=1), rel=1e-5)
    assert loss(1.0, seed=0) != pytest.approx(loss(1.0, seed=1), rel=1e-3)


def test_teachers_are_weighed_as_they_are_given(teacher, tiny_model, tmp_path):
    second = load_policy(tiny_model)
    found = live_teacher([load_policy(teacher), second], [1.0, 3.0], second, (0,))
    assert found.shares == (0.25, 0.75)
    assert found.layers == (0,)


def test_taids_target_moves_while_it_trains(distil):
    lines = metrics(distil(terms=TERMS["taid"], interpolation={"alpha": 0.5}))
    targets = [line["interpolation"] for line in lines]
    assert targets[0] == 0.4
    assert targets == sorted(targets)
    assert targets[-1] > 0.8


def test_the_loss_is_taken_where_taids_target_stands(distil):
    # Every step has all of the data, and at this rate the student stays: only the target moves.
    settings: dict[str, Any] = {"batch_documents": 40, "epochs": 3, "budget": 1e10, "optim": {"lr": 1e-300}}
    lines = metrics(distil(terms=TERMS["taid"], interpolation={"alpha": 0.5}, **settings))
    moved = [b["interpolation"] > a["interpolation"] for a, b in pairwise(lines)]
    assert moved == [False, True]  # the first loss has none before it
    assert [b["taid"] != pytest.approx(a["taid"], rel=1e-4) for a, b in pairwise(lines)] == moved


def test_taid_on_the_datas_text_alone_is_not_moved_by_steps_on_the_students(distil):
    terms = [{"objective": "taid", "on": "data"}, {"objective": "reverse_kl", "on": "student"}]
    lines = metrics(distil(terms=terms, on_policy=0.5, seed=3))
    moved = [b["interpolation"] != a["interpolation"] for a, b in pairwise(lines)]
    assert any(line["on_policy"] for line in lines)
    assert not any(m for m, line in zip(moved, lines, strict=False) if line["on_policy"])


def test_the_validation_loss_is_a_loss(tiny_model, sums, tmp_path):
    run = tiny_run(tmp_path / "a", BUDGET, task=str(sums))
    trainee = set_up(as_artifact(tiny_model), run, "kd", Optim(), None)
    documents = gold_documents(trainee.renderer, load_task(str(sums)).take("dev"), with_rationale=True)
    assert validation(trainee, run, documents)() == -mean_logprob(trainee.policy.decoder, documents) > 0
    assert run.ledger.accounts["evaluate"].flops > 0


def test_an_unfinished_completion_has_an_unfinished_twin(tiny_model, foreign):
    student, teacher = load_policy(tiny_model), load_policy(foreign)
    ours, theirs = (Renderer(p.tokenizer, max_length=256) for p in (student, teacher))
    whole = ours.document([Message("user", "?")], "2 + 3 = 5")
    cut = Document(whole.ids[:-1], ((whole.spans[0][0], len(whole.ids) - 1),))
    found = _with_twin([Message("user", "?")], cut, ours, theirs, "bytes")
    assert found is not None and found.twin is not None
    assert found.twin.document.ids[-1] != theirs.end_of_turn
    assert sum(other for _, other in found.twin.groups) == found.twin.document.num_supervised


def test_replay_of_text_with_a_twin_goes_on_as_if_nothing_had_happened(distil, foreign):
    settings: dict[str, Any] = {
        "teacher": str(foreign), "terms": [{"objective": "uld"}], "max_new_tokens": 20,
        "replay": {"eps": 0.0, "every": 1, "capacity": 2, "items": 2}, "optim": {"lr": 1e-3},
    }  # fmt: skip

    def kill(line: dict[str, Any]) -> None:
        if line.get("step") == 6:
            raise InterruptedError

    whole = distil("whole", **settings)
    with pytest.raises(InterruptedError):
        distil("cut", notify=kill, checkpoint_seconds=0, **settings)
    assert weights_hash(distil("cut", checkpoint_seconds=0, **settings)) == weights_hash(whole)


def test_a_trace_that_its_student_wrote_for_the_most_part_is_left_out(tiny_model, teacher, accepting, tmp_path):
    settings: dict[str, Any] = {"proposals": {"threshold": 2.0}, "samples": 1, "prefix_tokens": 4}
    with pytest.raises(DataError, match="mostly_students"):
        made("rsd", tiny_model, accepting, tmp_path / "a", teacher, **settings)


def test_a_teachers_prefix_that_was_cut_has_no_end(tiny_model, teacher, accepting, tmp_path):
    artifact = made("prefixes", tiny_model, accepting, tmp_path / "a", teacher, tokens=5, writer="teacher")
    end = renderer_of(load_policy(tiny_model)).end_of_turn
    traces = load_traces(artifact, "sft")
    assert sum(end not in trace.ids for trace in traces) > 20
    assert all(trace.correct is None for trace in traces)


def test_a_teachers_prefix_loses_its_last_token_which_may_be_half_a_word(tiny_model, tmp_path):
    renderer = renderer_of(load_policy(tiny_model))
    *words, end = renderer.completion("Ben has 3 app")
    assert _retold(renderer, "Ben has 3 app", "length") == words[:-1]
    assert _retold(renderer, "Ben has 3 app", "stop") == [*words, end]


def test_nobody_knows_whether_the_beginning_of_a_right_trace_is_right(tiny_model, tmp_path):
    renderer = renderer_of(load_policy(tiny_model))
    trace = Trace("a", (), "12", (5, 6, 7), "gold", correct=True)
    begun = beginning(trace, renderer, 2)
    assert (begun.ids, begun.text, begun.correct) == ((5, 6), renderer.decode([5, 6]), None)
    assert beginning(trace, renderer, 3) == trace


def test_making_data_asks_for_one_problem_first_and_refuses_a_budget_below_it(tiny_model, teacher, accepting, tmp_path):
    run = tiny_run(tmp_path / "a", 1e4, task=accepting, teacher=str(teacher), max_new_tokens=16)
    with pytest.raises(BudgetError, match="one problem takes"):
        perform("rejection", tiny_model, run, keep="all")


def text_of(student: list[float], theirs: list[float], drawn: list[float]) -> Text:
    found = Text(0, 0, np.uint64(0), ids=[1] * len(drawn), logprobs=drawn, student_logprobs=student, finish="stop")
    found.teacher_logprobs = theirs
    return found


def test_minillm_credits_tokens_with_returns_and_divides_by_what_they_were_drawn_from():
    texts = [text_of([-1.0, -2.0], [-0.5, -2.5], [-0.7, -2.1]), text_of([-3.0], [-1.0], [-2.5])]
    documents = _rollouts([[7, 8], [9]], texts, 1.0)
    both = [(torch.tensor(text.student_logprobs), torch.tensor(text.teacher_logprobs)) for text in texts]
    expected = torch.cat(whitened([returns_of(*pair) for pair in both]))
    assert [a for d in documents for a in d.recorded["advantages_T"]] == pytest.approx(expected.tolist())
    assert [list(d.recorded["old_logprobs_T"]) for d in documents] == [[-0.7, -2.1], [-2.5]]
    undiscounted = _rollouts([[7, 8], [9]], texts, 0.0)
    assert undiscounted[0].recorded["advantages_T"] != documents[0].recorded["advantages_T"]
    assert all(d.weights == {"cross_entropy": 0.0} for d in documents)


def test_minillms_plain_text_has_a_part_in_cross_entropy_alone():
    document = _gold(Document([1, 2, 3], ((1, 3),)))
    assert document.weights == {"clipped_surrogate": 0.0, "reverse_kl": 0.0}


def test_minillms_plain_text_counts_as_much_as_its_weight(distil):
    settings: dict[str, Any] = {"stage": "minillm", "prompts_per_step": 4, "max_new_tokens": 8}
    none, one, two = (metrics(distil(str(w), text_weight=w, **settings))[0] for w in (0.0, 1.0, 2.0))
    assert "cross_entropy" not in none
    assert two["cross_entropy"] == pytest.approx(2 * one["cross_entropy"], rel=1e-5)
    assert two["cross_entropy"] > 0
    assert one["reverse_kl"] == pytest.approx(none["reverse_kl"], rel=1e-5)


def test_without_the_teachers_share_minillms_first_step_is_plain_policy_gradient(distil):
    # The ratio is 1 and whitened advantages sum to 0; with a share of the teacher the ratio is another.
    settings: dict[str, Any] = {"stage": "minillm", "prompts_per_step": 4, "text_weight": 0.0, "max_new_tokens": 12}
    lines = [metrics(distil(str(share), teacher_share=share, **settings))[0] for share in (0.0, 0.9)]
    values = [line["clipped_surrogate"] for line in lines]
    assert values[0] == pytest.approx(0.0, abs=1e-6)
    assert abs(values[1]) > 1e-3


def test_data_is_made_once_for_all_rates(tiny_model, sums):
    stages = [{"kind": "rejection", "writer": "student"}, {"kind": "sft", "source": "traces"}]
    tree = {"name": "x", "model": str(tiny_model), "task": str(sums), "stage": stages}
    plain, faster = (Recipe.make({**tree, "lr_factor": factor}) for factor in (1.0, 3.0))
    for number, is_same in ((1, True), (2, False)):
        keys = [stage_facts(r, number, r.stage[number - 1], None, 1e9, "cpu").key() for r in (plain, faster)]
        assert (keys[0] == keys[1]) == is_same


def test_a_teacher_that_changes_at_its_place_changes_the_key_and_the_fingerprint(tiny_model, sums, tmp_path):
    keys, prints = [], []
    for seed in (1, 2):
        shutil.rmtree(tmp_path / "second", ignore_errors=True)
        make_model(tmp_path / "second", seed=seed)
        recipe = Recipe.make({
            "name": "x", "model": str(tiny_model), "teacher": str(tiny_model), "task": str(sums), "budget": {"flops": 1e9},
            "stage": [{"kind": "kd", "teachers": [{"model": str(tmp_path / "second")}]}],
        })  # fmt: skip
        keys.append(stage_facts(recipe, 1, recipe.stage[0], None, 1e9, "cpu").key())
        prints.append(fingerprint(recipe))
    assert keys[0] != keys[1]
    assert prints[0] != prints[1]
