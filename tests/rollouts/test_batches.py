"""Groups to documents: exactly the policy's own tokens are supervised, and carry what was recorded of them."""

import pytest
import torch

from whit.algorithms._types import Algorithm
from whit.algorithms.grpo import grpo
from whit.core.types import Example, Group, Rollout, Segment, Verdict
from whit.data.batch import Document, collate
from whit.rollouts.batches import is_equal, pass_rate, plain_document, to_documents
from whit.rollouts.credit import credited
from whit.training.weights import token_weights

STOP = 9
PLAIN = grpo(group_size=2, scale="none")


def rollout(reward: float, own: tuple[int, ...] = (5, 6, STOP), finish: str = "stop") -> Rollout:
    logprobs = tuple(-0.1 * (i + 1) for i in range(len(own)))
    segments = (Segment((1, 2, 3), "prompt"), Segment(own, "policy", logprobs))
    return Rollout(segments, "", finish, Verdict(reward > 0), reward)


def group(*rollouts: Rollout) -> Group:
    return Group(Example("a", "?", "1"), rollouts)


def credit_of(groups: list[Group], algorithm: Algorithm = PLAIN) -> tuple[list[Document], int]:
    documents, dropped = to_documents(groups, algorithm)
    return credited(documents, algorithm)[0], dropped


def supervised(document: Document) -> list[int]:
    """The labels that training scores."""
    return collate([document], torch.device("cpu")).labels_T.tolist()


def test_training_scores_the_sampled_tokens_and_the_stop_token_and_nothing_else():
    document = plain_document(rollout(1.0))
    assert tuple(document.ids) == (1, 2, 3, 5, 6, STOP)
    assert supervised(document) == [5, 6, STOP]


def test_what_a_tool_wrote_is_read_and_not_learnt():
    segments = (
        Segment((1, 2), "prompt"), Segment((5, 6), "policy", (-0.1, -0.2)), Segment((7, 7, 7), "tool"),
        Segment((8, STOP), "policy", (-0.3, -0.4)),
    )  # fmt: skip
    with_tool = Rollout(segments, "", "stop", Verdict(True), 1.0)
    document = credit_of([group(with_tool, rollout(0.0))])[0][0]
    assert tuple(document.ids) == (1, 2, 5, 6, 7, 7, 7, 8, STOP)
    assert supervised(document) == [5, 6, 8, STOP]
    assert document.recorded == {"advantages_T": [0.5] * 4, "rollout_logprobs_T": [-0.1, -0.2, -0.3, -0.4]}


def test_every_token_carries_its_rollout_s_advantage_and_its_own_log_probability():
    (good, bad), dropped = credit_of([group(rollout(1.0), rollout(0.0, (4, STOP)))])
    assert dropped == 0
    assert good.recorded == {"advantages_T": [0.5] * 3, "rollout_logprobs_T": pytest.approx([-0.1, -0.2, -0.3])}
    assert bad.recorded == {"advantages_T": [-0.5] * 2, "rollout_logprobs_T": pytest.approx([-0.1, -0.2])}


def test_advantages_are_taken_inside_a_group():
    documents, _ = credit_of([group(rollout(1.0), rollout(0.0)), group(rollout(9.0), rollout(5.0))])
    assert [d.recorded["advantages_T"][0] for d in documents] == [0.5, -0.5, 2.0, -2.0]
    assert [d.facts["group_N"] for d in documents] == [0, 0, 1, 1]


def test_a_truncated_completion_is_trained_on_as_any_other():
    cut = rollout(0.0, (4, 4, 4, 4), finish="length")
    _, document = credit_of([group(rollout(1.0), cut)])[0]
    assert supervised(document) == [4, 4, 4, 4]
    assert document.recorded["advantages_T"] == [-0.5] * 4


EQUAL, MIXED = group(rollout(1.0), rollout(1.0)), group(rollout(1.0), rollout(0.0))


def test_a_group_of_equal_rewards_is_kept_with_no_advantage():
    documents, dropped = credit_of([EQUAL, MIXED])
    assert dropped == 0
    assert [d.recorded["advantages_T"][0] for d in documents] == [0.0, 0.0, 0.5, -0.5]


def test_or_left_out_and_counted():
    algorithm = grpo(group_size=2, scale="none", drop_equal=True)
    documents, dropped = credit_of([EQUAL, MIXED, EQUAL], algorithm)
    assert dropped == 2
    assert [d.recorded["advantages_T"][0] for d in documents] == [0.5, -0.5]
    assert credit_of([EQUAL, EQUAL], algorithm) == ([], 2)


@pytest.mark.parametrize("reduction", ["sequence", "token"])
def test_an_equal_group_that_is_kept_dilutes_the_step(reduction):
    """One group of two without a signal halves the weight of every token of the other; dropped, it does not."""
    kept, left = (grpo(group_size=2, reduction=reduction, drop_equal=drop) for drop in (False, True))
    diluted = token_weights(credit_of([EQUAL, MIXED], kept)[0], kept.terms[0])[2:]
    full = token_weights(credit_of([EQUAL, MIXED], left)[0], left.terms[0])
    assert diluted == pytest.approx([weight / 2 for weight in full])


def not_judged(status: str) -> Rollout:
    """As a verifier's crash leaves it: its reward says nothing."""
    return Rollout(rollout(0.0).segments, "", "stop", Verdict(False, status=status), 0.0)


def brought_down(status: str) -> Rollout:
    """As a completion leaves it at which a verifier fails that takes the gold answer."""
    return Rollout(rollout(0.0).segments, "", "stop", Verdict(False, status=status, is_at_fault=True), 0.0)


@pytest.mark.parametrize("status", ["crash", "timeout", "undecided"])
def test_a_completion_that_brings_its_verifier_down_is_wrong_and_trained_on(status):
    right_and_fallen = group(*[rollout(1.0)] * 2, *[brought_down(status)] * 6)
    assert not is_equal(right_and_fallen) and pass_rate(right_and_fallen) == 0.25
    documents, dropped = credit_of([right_and_fallen], grpo(group_size=8, scale="none"))
    assert [d.recorded["advantages_T"][0] for d in documents] == [0.75] * 2 + [-0.25] * 6 and dropped == 0


def test_a_pass_rate_is_of_what_was_judged():
    assert pass_rate(group(rollout(1.0), not_judged("crash"), rollout(0.0), not_judged("timeout"))) == 0.5
    assert pass_rate(group(not_judged("bad_gold"), not_judged("not_started"))) is None


@pytest.mark.parametrize("status", ["crash", "timeout", "undecided", "bad_gold", "not_started"])
def test_what_could_not_be_judged_is_in_neither_baseline_nor_loss(status):
    documents, dropped = credit_of([group(rollout(1.0), not_judged(status), rollout(0.0))])
    assert [d.recorded["advantages_T"][0] for d in documents] == [0.5, -0.5] and dropped == 0


def test_one_reward_beside_crashes_is_no_signal():
    alone = group(rollout(1.0), not_judged("crash"), not_judged("crash"))
    assert credit_of([alone, MIXED])[1] == 1  # one that nothing can be compared with
    equal = group(rollout(1.0), rollout(1.0), not_judged("crash"))
    assert credit_of([equal], grpo(group_size=2, drop_equal=True)) == ([], 1)
