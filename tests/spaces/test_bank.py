"""Examples found, compressed and turned into a push: by hand, and in the limits."""

import math
from collections import Counter
from random import Random

import pytest
import torch

from whit.core.errors import DataError
from whit.core.types import Example
from whit.spaces.bank import Bank, apart, balanced, prediction_layers, turned
from whit.spaces.retrieval import BM25, Near, Vectors
from whit.spaces.task_space import TaskSpace

ORTHONORMAL = TaskSpace(
    ("a", "b", "c"), (2, 5), torch.eye(3, 8)[None].repeat(2, 1, 1), torch.zeros(2, 8), torch.ones(2, 3),
    (torch.eye(3, 8), torch.eye(3, 8)),
)  # fmt: skip
STATES = torch.tensor([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]])[:, None].repeat(1, 2, 1)
BANK = Bank(ORTHONORMAL, STATES, (0, 1, 2))


def test_rare_words_count_more_and_long_texts_less():
    bank = BM25(["the cat sat", "the dog ran", "the bird sang of the cat and the sea"])
    assert bank.nearest("a cat", 3).places == [0, 2, 1]
    assert bank.nearest("dog", 1).places == [1]


def test_bm25_by_hand():
    """One of two texts of 2 words has the word: ln(1 + 1.5 / 1.5) * 1 * 2.5 / (1 + 1.5) = ln 2."""
    bank = BM25(["red car", "blue sky"])
    assert bank.scores("Red!") == pytest.approx([math.log(2), 0.0])
    assert bank.nearest("Red!", 2).similarities == [1.0, 0.0] and bank.nearest("green", 2).similarities == [0.0, 0.0]


def test_vectors_are_compared_without_what_all_share():
    bank = Vectors(torch.tensor([[100.0, 1.0], [100.0, -1.0]]))
    assert bank.nearest(torch.tensor([100.0, 0.2]), 2).places == [0, 1]
    assert bank.nearest(torch.tensor([100.0, 0.2]), 2).similarities == pytest.approx([1.0, -1.0], abs=1e-5)


def test_what_an_encoder_writes_is_compared_as_it_is():
    bank = Vectors(torch.tensor([[3.0, 4.0], [1.0, 0.0]]), centred=False)
    assert bank.nearest(torch.tensor([2.0, 0.0]), 2) == Near([1, 0], pytest.approx([1.0, 0.6]))


def test_the_control_s_push_keeps_angles_and_points_to_no_label():
    """Neighbours whose states are their label's direction: the push finds it, and the control at the rate of chance."""
    num_labels, width = 40, 64
    base_KD = torch.nn.functional.normalize(torch.randn(num_labels, width, generator=torch.Generator().manual_seed(0)))
    plain = TaskSpace(
        tuple(map(str, range(num_labels))), (1,), base_KD[None], torch.zeros(1, width), torch.ones(1, num_labels),
        (torch.linalg.svd(base_KD, full_matrices=False)[2],),
    )  # fmt: skip
    bank = Bank(plain, plain.coordinates(base_KD[:, None]), tuple(range(num_labels)))
    push = bank.steering([Near([label], [1.0]) for label in range(num_labels)])
    control = turned(push, seed=1)
    of_push, of_control = ((s.vectors_PSD[:, 0] @ base_KD.T).argmax(-1) for s in (push, control))
    labels = torch.arange(num_labels)
    assert torch.equal(of_push, labels) and (of_control == labels).sum() <= 4
    for one in (push, control):
        assert one.vectors_PSD.norm(dim=-1).flatten().tolist() == pytest.approx([1.0] * num_labels)
    torch.testing.assert_close(
        control.vectors_PSD[:, 0] @ control.vectors_PSD[:, 0].T, push.vectors_PSD[:, 0] @ push.vectors_PSD[:, 0].T,
        atol=1e-5, rtol=1e-4,
    )  # fmt: skip


def test_one_example_of_labels_alone_is_its_label_s_vector():
    only = Bank(ORTHONORMAL, 0 * STATES, (0, 1, 2))
    torch.testing.assert_close(only.compressed(Near([1], [0.7])), ORTHONORMAL.base_SKD[:, 1])


def test_two_of_one_similarity_weigh_alike_and_a_nearer_one_more():
    even = BANK.compressed(Near([0, 1], [0.5, 0.5]))
    torch.testing.assert_close(even[0, :3], torch.tensor([1.0, 1.0, 0.0]) / math.sqrt(2))
    nearer = BANK.compressed(Near([0, 1], [1.0, 0.9]), tau=0.1)[0]
    assert float(nearer[0] / nearer[1]) == pytest.approx(math.e, rel=1e-4)


def test_a_vote_goes_by_weights_and_not_by_heads():
    bank = Bank(ORTHONORMAL, STATES, (0, 0, 2))
    assert bank.vote(Near([0, 1, 2], [0.5, 0.5, 0.5])) == 0
    assert bank.vote(Near([2, 0, 1], [1.0, 0.5, 0.5])) == 2  # e^10 against 2 e^5


def test_without_labels_the_states_alone_decide():
    swapped = Bank(ORTHONORMAL, STATES, (2, 2, 2))
    torch.testing.assert_close(swapped.compressed(Near([0], [1.0]), gamma=0.0), ORTHONORMAL.base_SKD[:, 0])


def test_the_strength_is_shared_by_the_layers():
    steering = BANK.steering([Near([0], [1.0]), Near([2], [1.0])], strength=0.1)
    assert steering.layers == (2, 5) and steering.strength == pytest.approx(0.05)
    assert steering.vectors_PSD.shape == (2, 2, 8)
    assert steering.vectors_PSD.norm(dim=-1).flatten().tolist() == pytest.approx([1.0] * 4)


@pytest.mark.parametrize(
    ("nats", "layers"),
    [([0, 1, 3, 2, 2, 1], [3, 4]), ([0, 0, 0, 0, 0, 1], [2, 3]), ([0, 0, 0, 0, 1, 0], [2, 3]), ([0.0] * 6, [2, 3])],
)
def test_layers_of_prediction_come_after_the_one_that_tells_most(nats, layers):
    assert prediction_layers(nats) == layers


def labelled(**counts):
    return [Example(f"{label}{n}", "?", label) for label, count in counts.items() for n in range(count)]


def test_a_balanced_bank_has_as_many_of_each_label_as_there_are():
    found = Counter(e.gold for e in balanced(labelled(a=50, b=50, c=3), 23, Random(0)))
    assert found == {"a": 10, "b": 10, "c": 3}


def test_a_bank_that_is_smaller_than_the_labels_has_others_for_another_seed():
    examples = labelled(**dict.fromkeys("abcdefgh", 2))
    assert len({tuple(sorted(e.gold for e in balanced(examples, 3, Random(seed)))) for seed in range(9)}) > 3


def test_texts_that_judge_a_space_are_others_than_those_that_make_it():
    examples = labelled(a=20, b=10, c=3, d=2)
    built, judged = apart(examples, 0.5, Random(1))
    assert not {e.id for e in built} & {e.id for e in judged} and len(built) + len(judged) == len(examples)
    assert Counter(e.gold for e in judged) == {"a": 10, "b": 5, "c": 1}  # two are left of each, to build of


@pytest.mark.parametrize("counts", [{"a": 2, "b": 2}, {"a": 3, "b": 2}])
def test_where_nothing_is_left_to_judge_a_space_that_is_said(counts):
    with pytest.raises(DataError, match="Give four or more of a label"):
        apart(labelled(**counts), 0.5, Random(0))
