"""The engine writes what the plain forward pass would, one token at a time, whatever else is in the batch."""

import random

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from whit.core.errors import TemplateError
from whit.core.flops import forward_flops
from whit.core.seeds import key64
from whit.core.types import Completion
from whit.data.batch import Document, collate
from whit.generation.engine import Engine
from whit.generation.sampler import GREEDY, Sampling, choose, uniforms
from whit.models.attention import Packed
from whit.models.decoder import Decoder
from whit.testing.tiny import tiny_decoder, tiny_documents
from whit.training.signals import score

CPU = torch.device("cpu")
STOPS = frozenset({3, 5})
DECODER = tiny_decoder(seed=1)
PROMPTS = [d.ids for d in tiny_documents((3, 0), (9, 0), (1, 0), (6, 0), (3, 0), (14, 0), (2, 0), seed=4)]


def sampling(max_new_tokens: int = 12, **given: object) -> Sampling:
    return Sampling(max_new_tokens=max_new_tokens, **given)


@torch.no_grad()
def next_logits(decoder: Decoder, ids: list[int]) -> Tensor:
    tokens_L = torch.tensor(ids)
    return decoder.logits(decoder(tokens_L, torch.arange(len(ids)), Packed([len(ids)], CPU)))[-1:]


def written(decoder: Decoder, prompt: list[int], how: Sampling, key: np.uint64 = np.uint64(0)) -> Completion:
    """A completion by the plain forward pass over everything so far, at every step."""
    ids: list[int] = []
    logprobs: list[float] = []
    while len(ids) < how.max_new_tokens:
        uniform = uniforms(np.array([key]), np.array([len(ids)]))
        token, logprob = choose(next_logits(decoder, [*prompt, *ids]), uniform, how)
        ids.append(int(token))
        logprobs.append(float(logprob))
        if ids[-1] in STOPS:
            return Completion(tuple(ids), tuple(logprobs), "stop")
    return Completion(tuple(ids), tuple(logprobs), "length")


def assert_equal(ours: Completion, expected: Completion) -> None:
    assert (ours.ids, ours.finish) == (expected.ids, expected.finish)
    assert ours.logprobs == pytest.approx(expected.logprobs, abs=1e-9)


@pytest.mark.parametrize("max_rows", [1, 3, 64])
def test_greedy_is_the_argmax_of_the_plain_forward_pass(max_rows):
    groups = Engine(DECODER, STOPS, max_rows=max_rows).generate(PROMPTS, GREEDY.within(12))
    for prompt, (completion,) in zip(PROMPTS, groups, strict=True):
        assert_equal(completion, written(DECODER, prompt, GREEDY.within(12)))


@pytest.mark.parametrize("given", [{}, {"temperature": 0.6, "top_p": 0.9}, {"top_k": 5}])
def test_samples_are_those_of_the_plain_forward_pass(given):
    groups = Engine(DECODER, STOPS, max_rows=4).generate(PROMPTS, sampling(**given), num_samples=2, seed=9)
    for index, (prompt, group) in enumerate(zip(PROMPTS, groups, strict=True)):
        for sample, completion in enumerate(group):
            key = np.uint64(key64(9, "sample", str(index), sample))
            assert_equal(completion, written(DECODER, prompt, sampling(**given), key))


@pytest.mark.slow  # 1.4 s
@given(st.integers(1, 9), st.integers(1, 4), st.permutations(range(len(PROMPTS))), st.integers(1, len(PROMPTS)))
@settings(max_examples=15, deadline=None)
def test_a_completion_does_not_depend_on_what_else_is_in_the_batch(max_rows, num_samples, order, count):
    engine = Engine(DECODER, STOPS, max_rows=max_rows)
    names = [str(i) for i in order[:count]]
    groups = engine.generate([PROMPTS[i] for i in order[:count]], sampling(), num_samples=num_samples, keys=names)
    alone = Engine(DECODER, STOPS).generate([PROMPTS[order[0]]], sampling(), num_samples=4, keys=names[:1])[0]
    for ours, expected in zip(groups[0], alone, strict=False):
        assert_equal(ours, expected)


def test_another_seed_or_sample_gives_another_completion():
    engine = Engine(DECODER, frozenset())
    first, second = engine.generate(PROMPTS[:1], sampling(), num_samples=2, seed=0)[0]
    (other,) = engine.generate(PROMPTS[:1], sampling(), seed=1)[0]
    assert len({first.ids, second.ids, other.ids}) == 3


@pytest.mark.parametrize("temperature", [1.0, 0.6])
def test_log_probabilities_are_the_training_forward_passes(temperature):
    how = sampling(temperature=temperature)
    groups = Engine(DECODER, STOPS, max_rows=4).generate(PROMPTS, how, num_samples=3)
    pairs = [(prompt, c) for prompt, group in zip(PROMPTS, groups, strict=True) for c in group]
    documents = [Document([*p, *c.ids], spans=((len(p), len(p) + len(c.ids)),)) for p, c in pairs]
    scored_T, _ = score(DECODER, collate(documents, CPU), temperature)
    assert scored_T.tolist() == pytest.approx([lp for _, c in pairs for lp in c.logprobs], abs=1e-9)


def test_more_prompts_than_rows_are_admitted_as_slots_fall_free():
    draw = random.Random(0)
    prompts = [[draw.randrange(64) for _ in range(draw.randint(1, 20))] for _ in range(40)]
    stops = frozenset(range(12))  # a fifth of the vocabulary: lengths differ widely
    many = Engine(DECODER, stops, max_rows=4).generate(prompts, sampling(30), num_samples=2)
    for index, prompt in enumerate(prompts):
        alone = Engine(DECODER, stops).generate([prompt], sampling(30), num_samples=2, keys=[str(index)])[0]
        for ours, expected in zip(many[index], alone, strict=True):
            assert_equal(ours, expected)
    assert len({len(c.ids) for group in many for c in group}) > 5


def test_a_stop_token_ends_a_completion_and_stands_in_it():
    groups = Engine(DECODER, STOPS).generate(PROMPTS, sampling(60), num_samples=4)
    stopped = [c for group in groups for c in group if c.finish == "stop"]
    assert stopped
    for completion in stopped:
        assert completion.ids[-1] in STOPS
        assert not STOPS & set(completion.ids[:-1])


def test_the_limit_of_new_tokens_cuts_off():
    for (completion,) in Engine(DECODER, frozenset()).generate(PROMPTS, sampling(5)):
        assert (len(completion.ids), completion.finish) == (5, "length")


def test_the_models_context_cuts_off():
    decoder = tiny_decoder(max_length=16)
    for prompt, (completion,) in zip(
        PROMPTS, Engine(decoder, frozenset()).generate(PROMPTS, sampling(99)), strict=True
    ):
        assert (len(prompt) + len(completion.ids), completion.finish) == (16, "length")


def letters(ids: list[int]) -> str:
    return "".join(chr(ord("A") + i % 26) for i in ids)


def test_a_stop_string_ends_a_completion_where_it_first_stands():
    (plain,) = Engine(DECODER, frozenset()).generate(PROMPTS[:1], sampling(12))[0]
    stop = letters(plain.ids)[4:6]
    engine = Engine(DECODER, frozenset(), decode=letters)
    (stopped,) = engine.generate(PROMPTS[:1], sampling(12, stop=(stop,)))[0]
    assert stopped.finish == "stop"
    assert letters(stopped.ids) == letters(plain.ids)[: letters(plain.ids).index(stop) + 2]


@pytest.mark.parametrize("prompt", [[], list(range(128))])
def test_a_prompt_that_is_empty_or_fills_the_context_is_refused(prompt):
    with pytest.raises(TemplateError, match="prompt 2"):
        Engine(DECODER, STOPS).generate([[1], prompt], sampling())


def test_operations_by_hand():
    # Prompts of 3 and 5 tokens; completions of 1, 4 and 2: each feeds back all but its last token.
    completions = [[completion(1), completion(4)], [completion(2)]]
    flops, tokens = Engine(DECODER, STOPS).flops([[0] * 3, [0] * 5], completions)
    fed, first = 0 + 3 + 1, 2  # a prompt's first tokens are drawn from one row
    pairs = (1 + 2 + 3) + (1 + 2 + 3 + 4 + 5) + (4 + 5 + 6) + 6
    assert tokens == 3 + 5 + fed
    assert flops == forward_flops(DECODER.config.shape, 3 + 5 + fed, first + fed, pairs)


def completion(length: int) -> Completion:
    return Completion((0,) * length, (-1.0,) * length, "length")


class Counting(Decoder):
    """Counts the tokens that go through the body."""

    tokens = 0

    def forward(self, tokens_L: Tensor, *args: object) -> Tensor:
        self.tokens += len(tokens_L)
        return super().forward(tokens_L, *args)


def test_a_group_shares_its_prompt_and_what_is_charged_is_what_was_computed():
    decoder = Counting(DECODER.config).double()
    decoder.load_state_dict(DECODER.state_dict())
    engine = Engine(decoder, STOPS)
    groups = engine.generate(PROMPTS, sampling(), num_samples=4)
    fed = sum(len(c.ids) - 1 for group in groups for c in group)
    assert decoder.tokens == sum(map(len, PROMPTS)) + fed
    assert engine.flops(PROMPTS, groups)[1] == decoder.tokens


@pytest.mark.parametrize("max_rows", [1, 5, 64])
def test_what_all_prompts_begin_with_is_computed_once(max_rows):
    (first,) = tiny_documents((20, 0), seed=8)
    prompts = [[*first.ids, *ids] for ids in PROMPTS] + [list(first.ids)]
    decoder = Counting(DECODER.config).double()
    decoder.load_state_dict(DECODER.state_dict())
    engine = Engine(decoder, STOPS, max_rows=max_rows)
    groups = engine.generate(prompts, sampling(temperature=0.0), num_samples=2)
    for prompt, group in zip(prompts, groups, strict=True):
        assert_equal(group[1], written(DECODER, prompt, sampling(temperature=0.0)))
    fed = sum(len(c.ids) - 1 for group in groups for c in group)
    charged = engine.flops(prompts, groups)[1]
    assert charged == 19 + sum(len(p) - 19 for p in prompts) + fed  # the last prompt keeps one token of its own
    if max_rows == 64:
        assert charged == decoder.tokens


def test_every_new_token_is_announced_once():
    told: list[int] = []
    groups = Engine(DECODER, STOPS, max_rows=3).generate(PROMPTS, sampling(), num_samples=2, notify=told.append)
    assert sum(told) == sum(len(c.ids) for group in groups for c in group)


def test_no_prompts_give_no_completions():
    assert Engine(DECODER, STOPS).generate([], sampling()) == []
