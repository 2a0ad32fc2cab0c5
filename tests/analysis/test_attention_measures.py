"""Attention measures on patterns whose values are known, and on a model against transformers' own weights."""

import math

import pytest
import torch

from whit.analysis.attention import SINK_LENGTH, Recorder, Seen, hidden_effect, look, measured, profile, sink
from whit.core.types import Message
from whit.data.render import Renderer
from whit.models.attention import Packed
from whit.models.load import load_policy
from whit.models.mask_token import add_mask_token
from whit.prompting.zero_shot import zero_shot
from whit.tasks.key_values import key_values
from whit.testing.tiny import tiny_decoder, tiny_model


def seen_of(weights_LL: torch.Tensor) -> Seen:
    """One layer of one head that attends like this."""
    received = weights_LL.sum(0) / torch.arange(len(weights_LL), 0, -1)
    return Seen(received[None, None], weights_LL[-1][None, None])


UNIFORM = torch.tril(torch.ones(SINK_LENGTH, SINK_LENGTH)) / torch.arange(1, SINK_LENGTH + 1)[:, None]
ON_THE_FIRST = torch.zeros(SINK_LENGTH, SINK_LENGTH).index_fill(1, torch.tensor([0]), 1.0)


def test_attention_that_is_even_has_no_sink():
    """The first of T positions then receives H_T / T, H_T the harmonic number: 0.0741 of 64."""
    seen = seen_of(UNIFORM)
    assert float(seen.received_THL[0, 0, 0]) == pytest.approx(0.0741, abs=1e-4) and sink(seen) == 0.0


def test_attention_on_the_first_alone_is_a_sink():
    seen = seen_of(ON_THE_FIRST)
    assert float(seen.received_THL[0, 0, 0]) == 1.0 and sink(seen) == 1.0 and sink(seen, position=1) == 0.0


def test_attention_to_oneself_gives_the_first_one_of_t():
    assert float(seen_of(torch.eye(SINK_LENGTH)).received_THL[0, 0, 0]) == pytest.approx(1 / SINK_LENGTH)


def test_even_attention_has_the_entropy_of_its_length():
    told = profile(seen_of(UNIFORM))
    assert told["entropy"] == pytest.approx([math.log(64)]) and told["first"] == pytest.approx([1 / 64])


def test_what_hiding_changes_is_a_share_of_what_it_was():
    """Two hidden positions receive half of what they did; the others go from 1, 3 to 1, 5: four times the variance."""
    clean = Seen(torch.tensor([[[1.0, 0.4, 0.4, 3.0]]]), torch.zeros(1, 1, 4))
    masked = Seen(torch.tensor([[[1.0, 0.2, 0.2, 5.0]]]), torch.zeros(1, 1, 4))
    assert hidden_effect(clean, masked, [1, 2]) == pytest.approx({"decay": 0.5, "variance_gain": 3.0})


def test_the_model_says_what_it_says_unwatched():
    decoder = tiny_decoder(seed=1)
    ids = list(range(20))
    recorder = Recorder(len(ids), torch.device("cpu"))
    given = torch.tensor(ids), torch.arange(len(ids))
    assert torch.equal(decoder(*given, recorder), decoder(*given, Packed([len(ids)], torch.device("cpu"))))


def test_the_weights_are_those_of_transformers(tmp_path):
    from transformers import AutoModelForCausalLM

    path = tiny_model(tmp_path / "tiny", seed=5)
    theirs = AutoModelForCausalLM.from_pretrained(path, attn_implementation="eager")
    ids = list(range(5, 40))
    with torch.no_grad():
        weights = torch.stack(theirs(torch.tensor([ids]), output_attentions=True).attentions)[:, 0]  # [layers, H, L, L]
    seen = look(load_policy(path).decoder, ids)
    torch.testing.assert_close(seen.from_last_THL, weights[:, :, -1], atol=1e-5, rtol=1e-4)
    expected = weights.sum(2) / torch.arange(len(ids), 0, -1)
    torch.testing.assert_close(seen.received_THL, expected, atol=1e-5, rtol=1e-4)


@pytest.fixture
def policy(tmp_path):
    return load_policy(tiny_model(tmp_path / "tiny", seed=5))


def test_what_is_measured_of_a_task_is_a_mean_over_its_prompts(policy):
    renderer = Renderer(policy.tokenizer, max_length=256)
    examples = list(key_values("dev", pairs=(2, 4), size=6))
    told = measured(policy, renderer, examples, 0.15)
    assert (told["examples"], told["with_answer"]) == (6, 6) and "decay" not in told
    assert all(len(told[name]) == 2 for name in ("answer", "before", "first", "entropy"))
    assert all(0 < answer < 1 - before < 1 for answer, before in zip(told["answer"], told["before"], strict=True))


def test_with_a_mask_token_the_effect_of_hiding_is_measured_too(policy):
    add_mask_token(policy)
    told = measured(
        policy, Renderer(policy.tokenizer, max_length=256), list(key_values("dev", pairs=(2, 4), size=3)), 0.15
    )
    assert {"decay", "variance_gain"} <= told.keys()


def test_the_place_of_a_text_in_a_prompt_is_where_its_tokens_are(policy):
    renderer = Renderer(policy.tokenizer, max_length=256)
    (example,) = key_values("dev", pairs=(4, 4), size=1)
    messages = zero_shot(example)
    start, end = renderer.places(messages, example.gold)
    assert example.gold in renderer.tokenizer.decode(renderer.prompt(messages)[start:end])
    assert end - start <= len(example.gold) and renderer.places(messages, "nowhere") is None


def test_an_answer_inside_of_another_word_or_in_another_turn_is_no_place_and_one_that_stands_twice_is_none(policy):
    renderer = Renderer(policy.tokenizer, max_length=256)
    turns = [Message("user", "Keep 7."), Message("assistant", "7"), Message("user", "a 17, b 7, c 70")]
    start, end = renderer.places(turns, "7")
    assert renderer.tokenizer.decode(renderer.prompt(turns)[:start]).endswith("a 17, b ")
    assert renderer.tokenizer.decode(renderer.prompt(turns)[start:end]) == "7"
    assert renderer.places([Message("user", "a 7, b 7")], "7") is None
    assert renderer.places([Message("user", "a 17")], "7") is None
