"""Prompts to groups: what is sampled is kept to the token, judged, rewarded and charged."""

import pytest
import torch

from whit.core.ledger import Ledger
from whit.core.types import Example, Group, Rollout, Segment, Verdict
from whit.data.batch import collate
from whit.data.render import Renderer
from whit.generation.engine import Engine
from whit.generation.sampler import Sampling
from whit.models.load import load_policy
from whit.prompting.zero_shot import zero_shot
from whit.rewards.accuracy import accuracy
from whit.rollouts.batches import plain_document
from whit.rollouts.collect import collect, figures
from whit.testing.replay import Replay
from whit.training.signals import score

EXAMPLES = [Example("a", "1 + 1?", "2"), Example("b", "How many apples does Ben have?", "6"), Example("c", "3?", "3")]


@pytest.fixture(scope="module")
def policy(tiny_model):
    return load_policy(tiny_model, dtype="float64")


@pytest.fixture(scope="module")
def renderer(policy):
    return Renderer(policy.tokenizer, max_length=256)


@pytest.fixture
def rollouts_of(policy, renderer):
    """Groups of 3 rollouts of up to 24 tokens, with other settings."""

    def rollouts_of(examples=EXAMPLES, *, engine=None, reward=accuracy, seed=0, max_rows=64, ledger=None, **settings):
        engine = engine or Engine(policy.decoder, renderer.stop_ids, decode=renderer.decode, max_rows=max_rows)
        return collect(
            engine, renderer, examples, zero_shot, reward, num_samples=3, seed=seed, ledger=ledger or Ledger(),
            sampling=Sampling(**{"max_new_tokens": 24, **settings}),
        )  # fmt: skip

    return rollouts_of


def sampled(groups: list[Group]) -> list[list[tuple[int, ...]]]:
    return [[rollout.segments[-1].ids for rollout in group.rollouts] for group in groups]


def replay(renderer: Renderer, *texts: str, finish: str = "stop") -> Replay:
    """An engine that answers every example with these texts."""
    ids = [renderer.completion(text) for text in texts]
    return Replay({example.id: ids for example in EXAMPLES}, finish=finish)


def test_one_group_an_example_of_the_asked_size_in_their_order(rollouts_of):
    groups = rollouts_of()
    assert [group.example for group in groups] == EXAMPLES
    assert [len(group.rollouts) for group in groups] == [3, 3, 3]
    assert all(len(set(ids)) > 1 for ids in sampled(groups))  # samples of a prompt are not copies of each other


def test_the_same_seed_gives_the_same_rollouts_and_another_seed_others(rollouts_of):
    assert rollouts_of(seed=4) == rollouts_of(seed=4)
    assert sampled(rollouts_of(seed=4)) != sampled(rollouts_of(seed=5))


def test_the_rollouts_of_an_example_do_not_depend_on_what_else_is_sampled(rollouts_of):
    together, alone = sampled(rollouts_of()), sampled(rollouts_of([EXAMPLES[1]]))
    assert alone == [together[1]]
    assert sampled(rollouts_of(max_rows=2)) == together


@pytest.mark.parametrize("temperature", [1.0, 0.7])
def test_the_recorded_log_probabilities_are_those_of_the_sampled_tokens(temperature, rollouts_of, policy):
    for group in rollouts_of(temperature=temperature):
        for rollout in group.rollouts:
            lp_T, _ = score(policy.decoder, collate([plain_document(rollout)], torch.device("cpu")), temperature)
            assert rollout.segments[-1].logprobs == pytest.approx(lp_T.tolist(), abs=1e-9)


def test_a_rollout_is_its_prompt_and_the_policy_s_own_tokens(rollouts_of, renderer):
    for group in rollouts_of():
        for rollout in group.rollouts:
            prompt, own = rollout.segments
            assert (prompt.role, own.role) == ("prompt", "policy")
            assert prompt.ids == tuple(renderer.prompt(zero_shot(group.example)))
            assert prompt.logprobs is None and len(own.logprobs) == len(own.ids)
            assert rollout.text == renderer.decode(own.ids)


def test_what_ends_holds_its_stop_token_and_what_is_cut_off_holds_none(rollouts_of, renderer):
    rollouts = [rollout for group in rollouts_of(max_new_tokens=60) for rollout in group.rollouts]
    assert {rollout.finish for rollout in rollouts} == {"stop", "length"}
    for rollout in rollouts:
        ids = rollout.segments[-1].ids
        assert not renderer.stop_ids & set(ids[:-1])
        assert (ids[-1] in renderer.stop_ids) == (rollout.finish == "stop")
        assert rollout.finish == "stop" or len(ids) == 60


def test_the_verifier_of_the_example_judges_and_the_reward_sees_verdict_and_text(rollouts_of, renderer):
    groups = rollouts_of(
        engine=replay(renderer, "#### 2", "so 2", "#### 6"),
        reward=lambda verdict, text: 10 * verdict.correct + len(text),
    )
    first, second, _ = groups
    assert [(r.verdict.correct, r.verdict.strict, r.reward) for r in first.rollouts] == [
        (True, True, 16), (True, False, 14), (False, False, 6),
    ]  # fmt: skip
    assert [r.verdict.correct for r in second.rollouts] == [False, False, True]


def test_a_verifier_that_raises_is_counted(rollouts_of, renderer, tmp_path):
    (tmp_path / "own.py").write_text("def broken(completion, example):\n    raise KeyError('gone')\n")
    example = Example("a", "1 + 1?", "2", verifier=f"{tmp_path / 'own.py'}:broken")
    groups = rollouts_of([example], engine=replay(renderer, "2", "2", "2"))
    assert {r.verdict.status for r in groups[0].rollouts} == {"crash"}
    assert figures(groups)["not_judged"] == 1.0


def test_sampling_is_charged(rollouts_of, policy, renderer):
    ledger = Ledger()
    groups = rollouts_of(ledger=ledger)
    account = ledger.accounts["sample"]
    prompts = sum(len(group.rollouts[0].segments[0].ids) for group in groups)  # computed once for a group
    own = sum(len(ids) - 1 for group in sampled(groups) for ids in group)  # the last token is never fed back
    assert account.tokens == prompts + own
    assert account.flops > 2 * policy.decoder.config.shape.body_parameters * account.tokens
    assert account.seconds > 0
    assert set(ledger.accounts) == {"sample"}


def rollout(reward: float, num_tokens: int = 4, finish: str = "stop", **verdict: object) -> Rollout:
    own = Segment(tuple(range(num_tokens)), "policy", (-1.0,) * num_tokens)
    prompt = Segment((1, 2, 3), "prompt")
    return Rollout((prompt, own), "", finish, Verdict(**{"correct": reward > 0, **verdict}), reward)


def test_the_figures_of_two_groups_by_hand():
    groups = [
        Group(EXAMPLES[0], (rollout(1.0, 6, has_format=True), rollout(0.0, 4), rollout(0.0, 8, "length"))),
        Group(EXAMPLES[1], (rollout(0.0, 8), rollout(0.0, 2, status="crash"), rollout(0.0, 8, "length"))),
    ]
    assert figures(groups) == pytest.approx({
        "reward": 1 / 5, "accuracy": 1 / 5, "format_rate": 1 / 5, "truncated": 2 / 6, "completion_tokens": 36 / 6,
        "equal_groups": 1 / 2, "not_judged": 1 / 6, "repeated": 0.0,
    })  # fmt: skip


def test_what_was_not_judged_makes_no_group_unequal():
    crash = {"status": "crash", "correct": False}
    equal = Group(EXAMPLES[0], (rollout(1.0), rollout(1.0), rollout(0.0, **crash)))
    alone = Group(EXAMPLES[1], (rollout(1.0), rollout(0.0, **crash)))  # with nothing to compare
    fallen = Group(EXAMPLES[2], (rollout(1.0), rollout(0.0, is_at_fault=True, **crash)))
    assert figures([equal, alone])["equal_groups"] == 1.0
    found = figures([equal, fallen])
    assert (found["equal_groups"], found["not_judged"]) == (0.5, 0.2)


def test_equal_rewards_are_counted_whatever_they_are():
    groups = [Group(EXAMPLES[0], (rollout(0.3), rollout(0.3))), Group(EXAMPLES[1], (rollout(1.0), rollout(1.0)))]
    assert figures(groups)["equal_groups"] == 1.0


def test_reward_and_accuracy_are_of_what_was_judged():
    """Three right, one wrong, and four of which nothing is known: 75 %, and not 38."""
    unknown = [rollout(0.0, status="bad_gold") for _ in range(4)]
    known = [rollout(1.0, has_format=True), rollout(1.0), rollout(1.0), rollout(0.0)]
    found = figures([Group(EXAMPLES[0], (*known, *unknown))])
    assert (found["reward"], found["accuracy"], found["format_rate"], found["not_judged"]) == (0.75, 0.75, 0.25, 0.5)
    nothing = figures([Group(EXAMPLES[0], tuple(unknown))])
    assert (nothing["reward"], nothing["not_judged"]) == (0.0, 1.0)
