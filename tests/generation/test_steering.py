"""Pushing hidden states: nothing for a strength of 0, lengths kept, the same while writing as when read whole."""

import pytest
import torch

from whit.generation.engine import Engine
from whit.generation.sampler import Sampling
from whit.generation.steering import Steering, pushed
from whit.models.attention import Packed
from whit.testing.tiny import tiny_decoder

PROMPTS = [[1, 2, 3, 4], [5, 6, 7], [1, 2, 3, 9, 10]]
GREEDY = Sampling(temperature=0.0, max_new_tokens=8)


@pytest.fixture
def decoder():
    return tiny_decoder(seed=2)


def vectors(count=3, layers=2, width=16, seed=0):
    drawn = torch.randn(count, layers, width, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return drawn / drawn.norm(dim=-1, keepdim=True)


def written(decoder, steering=None, prompts=PROMPTS, **more):
    groups = Engine(decoder, frozenset()).generate(prompts, GREEDY, steering=steering, **more)
    return [[completion.ids for completion in group] for group in groups]


def test_a_push_keeps_the_length_and_turns_towards_the_vector():
    states = torch.randn(5, 16, dtype=torch.float64) * 30
    direction = vectors(5, 1)[:, 0]
    moved = pushed(states, direction, 0.3)
    torch.testing.assert_close(moved.norm(dim=-1), states.norm(dim=-1), rtol=1e-12, atol=0)
    cosine = torch.nn.functional.cosine_similarity
    assert (cosine(moved, direction) > cosine(states, direction)).all()


def test_by_hand():
    """(3, 4) has the length 5; half of it towards (1, 0) gives (5.5, 4), of length 6.8007."""
    moved = pushed(torch.tensor([[3.0, 4.0]]), torch.tensor([[1.0, 0.0]]), 0.5)
    assert moved.tolist()[0] == pytest.approx([5 * 5.5 / 6.80074, 5 * 4 / 6.80074], rel=1e-5)


@pytest.mark.parametrize("steering", [Steering((0, 1), vectors(), 0.0), Steering((0, 1), 0 * vectors(), 0.5)])
def test_without_strength_or_direction_nothing_changes(decoder, steering):
    assert written(decoder, steering) == written(decoder)


def test_each_prompt_has_its_own_push_whatever_stands_beside_it(decoder):
    steering = Steering((0, 1), vectors(), 0.8)
    together = written(decoder, steering)
    for index, prompt in enumerate(PROMPTS):
        alone = Steering((0, 1), steering.vectors_PSD[[index]], 0.8)
        assert written(decoder, alone, [prompt]) == [together[index]]
    assert together != written(decoder)


def test_what_is_written_is_what_a_whole_pass_with_the_same_push_says(decoder):
    """Every token is the likeliest of a pass over all before it, pushed from the end of the prompt on."""
    steering = Steering((1,), vectors(1, 1), 0.8)
    (((*ids,),),) = written(decoder, steering, PROMPTS[:1])
    text = [*PROMPTS[0], *ids]
    rows = torch.arange(len(PROMPTS[0]) - 1, len(text) - 1)
    with torch.no_grad(), steering.on(decoder, rows, [0] * len(rows)):
        hidden = decoder(torch.tensor(text), torch.arange(len(text)), Packed([len(text)], torch.device("cpu")))
    assert decoder.logits(hidden)[rows].argmax(-1).tolist() == ids


def test_after_it_the_model_is_as_before(decoder):
    before = written(decoder)
    written(decoder, Steering((0, 1), vectors(), 0.8))
    assert written(decoder) == before and not any(layer._forward_hooks for layer in decoder.layers())


def test_samples_of_a_prompt_share_its_push(decoder):
    first, second = written(decoder, Steering((0,), vectors(3, 1), 0.8), num_samples=2)[0]
    assert first == second


def test_the_first_token_is_pushed_too(decoder):
    pushes = [Steering((0, 1), vectors(seed=seed), 3.0) for seed in range(8)]
    firsts = {tuple(group[0][0] for group in written(decoder, steering)) for steering in pushes}
    assert len(firsts) > 1
