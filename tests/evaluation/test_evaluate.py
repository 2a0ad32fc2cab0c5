"""A score is made of records, one a completion; nothing that is missing turns into a zero."""

import json
from dataclasses import replace
from itertools import combinations

import pytest

from whit.core.errors import PromptTooLongError, RunError, UsageError
from whit.core.ledger import Ledger
from whit.core.types import Example
from whit.data.render import Renderer
from whit.evaluation.evaluate import GREEDY_PROFILE, PROFILE, Evaluation, evaluate
from whit.generation.engine import Engine
from whit.generation.sampler import Sampling
from whit.models.load import load_policy
from whit.prompting.zero_shot import zero_shot
from whit.stats.intervals import clustered_mean
from whit.stats.passk import majority_at_k, pass_at_k
from whit.verifiers._judge import judge

EXAMPLES = [Example("a", "1 + 1?", "2"), Example("b", "How many apples does Ben have?", "6"), Example("c", "3?", "3")]


@pytest.fixture(scope="module")
def policy(tiny_model):
    return load_policy(tiny_model, dtype="float64")


@pytest.fixture(scope="module")
def renderer(policy):
    return Renderer(policy.tokenizer, max_length=256)


@pytest.fixture
def score(policy, renderer):
    """An evaluation with 3 samples and a greedy completion of up to 30 tokens, with other settings."""

    def score(examples=EXAMPLES, **settings):
        settings = {"max_new_tokens": 30, "num_samples": 3, **settings}
        return evaluate(policy, renderer, examples, zero_shot, **settings)

    return score


def record(
    item: str, answer: str | None, correct: bool, *, group: str = "", greedy: bool = False, **more: object
) -> dict:
    return {
        "id": item, "group": group or item, "greedy": greedy, "answer": answer, "correct": correct, "strict": False,
        "has_format": False, "truncated": False, "num_tokens": 5, "status": "ok", **more,
    }  # fmt: skip


def by_hand(**items: str) -> Evaluation:
    """Samples written down: a letter each, "R" for the right answer, other letters for wrong ones, "-" for none."""
    return Evaluation(
        tuple(record(i, None if a == "-" else a, a == "R") for i, answers in items.items() for a in answers)
    )


# What is recorded.


def test_there_is_a_record_of_every_completion(score):
    records = score().records
    asked = [(e.id, s, g) for g, samples in ((False, 3), (True, 1)) for e in EXAMPLES for s in range(samples)]
    assert [(r["id"], r["sample"], r["greedy"]) for r in records] == asked


def test_a_record_holds_what_was_asked_written_and_judged(score):
    own = {example.id: example for example in EXAMPLES}
    for r in score().records:
        example, verdict = own[r["id"]], judge(r["completion"], own[r["id"]])
        assert (r["prompt"], r["gold"], r["group"]) == (example.prompt, example.gold, example.group)
        assert (r["answer"], r["correct"], r["strict"]) == (verdict.answer, verdict.correct, verdict.strict)
        assert (r["has_format"], r["status"], r["reason"]) == (verdict.has_format, verdict.status, verdict.reason)
        assert r["truncated"] == (r["num_tokens"] == 30)


def test_samples_are_the_engine_s_under_the_frozen_profile_and_greedy_stands_beside(score, policy, renderer):
    assert (PROFILE.temperature, PROFILE.top_p, PROFILE.top_k) == (0.6, 0.95, 0)
    assert GREEDY_PROFILE.is_greedy
    engine = Engine(policy.decoder, renderer.stop_ids, decode=renderer.decode)
    prompts = [renderer.prompt(zero_shot(example)) for example in EXAMPLES]

    def written(sampling, samples):
        groups = engine.generate(prompts, sampling, num_samples=samples, seed=5, keys=[e.id for e in EXAMPLES])
        return [renderer.decode(completion.ids) for group in groups for completion in group]

    records = score(seed=5).records
    sampled, greedy = ([r["completion"] for r in records if r["greedy"] == g] for g in (False, True))
    assert sampled == written(Sampling(temperature=0.6, top_p=0.95, max_new_tokens=30), 3)
    assert greedy == written(Sampling(temperature=0.0, max_new_tokens=30), 1)


def test_the_seed_decides_the_samples_and_nothing_of_the_greedy_completions(score):
    one, same, other = (score(seed=seed).records for seed in (1, 1, 2))
    assert one == same
    assert [r["completion"] for r in one[:9]] != [r["completion"] for r in other[:9]]
    assert one[9:] == other[9:]


def test_an_example_gets_the_same_completions_beside_any_others(score):
    alone = score(EXAMPLES[1:2]).records
    assert list(alone) == [r for r in score(max_rows=2).records if r["id"] == "b"]


def test_greedy_alone_and_samples_alone(score):
    assert {r["greedy"] for r in score(num_samples=0).records} == {True}
    assert {r["greedy"] for r in score(with_greedy=False).records} == {False}


def test_it_is_charged(score):
    ledger, plain = Ledger(), Ledger()
    records = score(ledger=ledger).records
    score(ledger=plain, with_greedy=False)
    assert set(ledger.accounts) == {"evaluate"}
    assert ledger.accounts["evaluate"].tokens > sum(r["num_tokens"] - 1 for r in records)
    assert 0 < plain.flops < ledger.flops


def test_an_item_whose_prompt_does_not_fit_is_wrong_and_counted_and_the_others_are_asked_as_ever(score, renderer):
    long = Example("long", "How many apples? " * 90, "7")
    evaluation = score([EXAMPLES[0], long, *EXAMPLES[1:]])
    (reason,) = {(r["status"], r["reason"]) for r in evaluation.records if r["id"] == "long"}
    whole = Renderer(renderer.tokenizer, max_length=10_000).prompt(zero_shot(long))
    assert reason == ("no_answer", f"the prompt has {len(whole)} tokens, the context 256")
    assert [r for r in evaluation.records if r["id"] != "long"] == list(score().records)
    summary, without = evaluation.summary(), score().summary()
    assert (summary["num_items"], summary["too_long"], "too_long" in without) == (4, 1, False)
    assert summary["accuracy"][0] == pytest.approx(without["accuracy"][0] * 3 / 4)
    with pytest.raises(PromptTooLongError, match="the model's context holds 256"):
        score([long])


def test_saved_records_come_back_as_they_were(score, tmp_path):
    evaluation = score([replace(EXAMPLES[0], prompt="Wie viele Äpfel?\u2028Drei?", gold="3"), *EXAMPLES[1:]])
    evaluation.save(tmp_path / "completions.jsonl")
    assert Evaluation.load(tmp_path / "completions.jsonl") == evaluation


# What is made of the records.


def test_the_matrix_has_a_row_an_item_and_a_column_a_sample():
    evaluation = by_hand(a="RRx", b="xyR")
    assert evaluation.matrix("correct").tolist() == [[1, 1, 0], [0, 0, 1]]
    assert evaluation.matrix("correct", greedy=True).size == 0
    assert evaluation.groups == ["a", "b"]


def test_a_missing_completion_is_an_error_and_not_a_zero():
    with pytest.raises(RunError, match="between 2 and 3"):
        by_hand(a="RRx", b="xy").summary()


def test_a_missing_greedy_completion_is_one_too():
    greedy = record("a", "R", True, greedy=True)
    with pytest.raises(UsageError, match="one number and one group per item"):
        Evaluation((*by_hand(a="RR", b="xx", c="xx").records, greedy)).summary()


@pytest.mark.parametrize("k", [1, 2, 3])
def test_pass_and_majority_are_those_of_stats_on_the_same_records(k):
    votes = {"a": "RRx", "b": "xxR", "c": "R--", "d": "xyz"}
    summary = by_hand(**{item: answers[:k] for item, answers in votes.items()}).summary()
    if k == 1:  # one sample has no pass@k beside its accuracy
        assert "pass@1" not in summary and "num_samples" not in summary
        return
    passed = [pass_at_k(k, votes[i][:k].count("R"), k) for i in votes]
    voted = [
        majority_at_k([None if a == "-" else a for a in v[:k]], [a == "R" for a in v[:k]], k) for v in votes.values()
    ]
    assert summary[f"pass@{k}"][0] == pytest.approx(sum(passed) / 4)
    assert summary[f"majority@{k}"][0] == pytest.approx(sum(voted) / 4)


def test_pass_and_majority_of_three_samples_by_hand():
    summary = by_hand(a="RRx", b="xxR", c="R--", d="xyz").summary()
    assert summary["pass@3"][0] == pytest.approx(3 / 4)  # every item but d
    assert summary["majority@3"][0] == pytest.approx(2 / 4)  # a by two votes, c by the only one
    assert summary["accuracy"][0] == pytest.approx((2 + 1 + 1 + 0) / 12)
    assert summary["num_samples"] == 3


def test_many_samples_are_also_shown_at_eight():
    summary = by_hand(a="R" + "x" * 9, b="x" * 10).summary()
    drawn = [sum(0 in chosen for chosen in combinations(range(10), 8)) / 45, 0]  # the right one is among the eight
    assert summary["pass@8"][0] == pytest.approx(sum(drawn) / 2)
    assert summary["pass@10"][0] == pytest.approx(1 / 2)
    assert summary["majority@8"][0] == 0.0


def test_greedy_has_numbers_of_its_own():
    samples = by_hand(a="RR", b="xx", c="xR").records
    greedy = [record(i, "R", correct, greedy=True, num_tokens=9) for i, correct in zip("abc", (True, True, False))]
    summary = Evaluation((*samples, *greedy)).summary()
    assert summary["accuracy"][0] == pytest.approx(1 / 2)
    assert summary["greedy_accuracy"][0] == pytest.approx(2 / 3)
    assert (summary["tokens"], summary["greedy_tokens"]) == (5.0, 9.0)
    assert "greedy_accuracy" not in Evaluation(samples).summary()


def test_every_share_is_a_mean_over_items_and_samples():
    flags = {"strict": (1, 0, 0, 0), "has_format": (1, 1, 0, 0), "truncated": (0, 1, 1, 1)}
    records = [
        record("ab"[i // 2], "x", False, **{name: bool(values[i]) for name, values in flags.items()}) for i in range(4)
    ]
    summary = Evaluation(tuple(records)).summary()
    assert [summary[n][0] for n in ("strict", "format_rate", "truncated")] == [1 / 4, 2 / 4, 3 / 4]


def test_where_a_verifier_reads_no_answer_there_is_no_vote_to_count():
    records = [record("a", None, True) for _ in range(8)]
    summary = Evaluation(tuple(records)).summary()
    assert "pass@8" in summary and "majority@8" not in summary


def test_what_could_not_be_judged_is_counted():
    records = [record(i, None, False, status=s) for i, s in (("a", "ok"), ("b", "timeout"), ("c", "timeout"))]
    assert Evaluation(tuple(records)).summary()["statuses"] == {"ok": 1, "timeout": 2}


def test_intervals_are_clustered_by_group():
    """Items of one template stand and fall together here: four of them tell as much as one."""
    answers = {"a": "RR", "b": "xx", "c": "RR"}
    grouped = tuple(record(f"{g}{n}", "R", x == "R", group=g) for g, v in answers.items() for n in range(4) for x in v)
    apart = tuple({**r, "group": r["id"]} for r in grouped)
    mean, low, high = Evaluation(grouped).summary()["accuracy"]
    assert [mean, low, high] == pytest.approx(
        [*vars_of(clustered_mean([1.0] * 4 + [0.0] * 4 + [1.0] * 4, ["a"] * 4 + ["b"] * 4 + ["c"] * 4))]
    )
    alone = Evaluation(apart).summary()["accuracy"]
    assert alone[0] == mean == pytest.approx(2 / 3)
    assert high - low > 1.5 * (alone[2] - alone[1])


def vars_of(interval):
    return interval.estimate, interval.low, interval.high


def test_the_summary_holds_plain_json(score):
    summary = score().summary()
    assert json.loads(json.dumps(summary)) == summary
    assert summary["num_items"] == 3


def test_by_a_fact_of_the_examples_each_value_has_its_own_items_in_order():
    rows = [
        record(f"{n}", "R", n < 3, facts={"depth": depth}) for n, depth in enumerate([1.0, 0.0, 0.5, 1.0, 0.0, 0.0])
    ]
    table = Evaluation(tuple(rows)).by("depth")
    assert list(table) == [0.0, 0.5, 1.0]
    assert [row["num_items"] for row in table.values()] == [3, 1, 2]
    assert [row["accuracy"][0] for row in table.values()] == pytest.approx([1 / 3, 1, 1 / 2])


def test_a_fact_that_no_example_has_is_named_with_those_that_there_are():
    rows = (record("a", "R", True, facts={"depth": 0.5, "pairs": 4}),)
    with pytest.raises(UsageError, match=r"no fact 'dept'.*depth, pairs"):
        Evaluation(rows).by("dept")


def test_a_record_keeps_numbers_and_words_of_the_metadata(score):
    (example, *_) = EXAMPLES
    records = score([replace(example, metadata={"depth": 0.5, "answers": ["2"]})]).records
    assert all(record["facts"] == {"depth": 0.5} for record in records)
