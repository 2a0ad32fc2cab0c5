"""Plain text predicted: as transformers does, whatever its length, and the same in other words."""

import copy
import math
from dataclasses import replace

import pytest
import torch

from whit.analysis.perplexity import bits_per_byte, perplexity, solution_loss, windows
from whit.core.errors import DataError
from whit.core.types import Interval, Message
from whit.data.render import Renderer
from whit.models.load import load_policy
from whit.stats.intervals import ratio_of_sums


def test_bits_per_byte_are_those_of_transformers(tiny_model):
    from transformers import AutoModelForCausalLM

    policy = load_policy(tiny_model)
    text = "a small text: 1 + 2 = 3."
    ids = torch.tensor(policy.tokenizer(text, add_special_tokens=False)["input_ids"])
    theirs = AutoModelForCausalLM.from_pretrained(tiny_model)(ids[None]).logits[0].log_softmax(-1)
    nats = -theirs[:-1].gather(1, ids[1:, None]).sum().item()
    size = len(policy.tokenizer.decode(ids[1:]).encode())
    assert bits_per_byte(policy, [text]) == pytest.approx(nats / math.log(2) / size, rel=1e-4)
    assert bits_per_byte(policy, [text, text]) == pytest.approx(bits_per_byte(policy, [text]))


def test_perplexity_and_bits_are_two_words_for_one_number(tiny_model):
    policy = load_policy(tiny_model)
    found = perplexity(policy, ["a small text: 1 + 2 = 3.", "another one, which is longer than that."])
    bits = math.log2(found.perplexity) * found.tokens / found.bytes
    assert found.bits_per_byte.estimate == pytest.approx(bits) and found.texts == 2
    assert found.bits_per_byte.low < bits < found.bits_per_byte.high


@pytest.mark.parametrize("length", [2, 7, 8, 9, 20, 41])
@pytest.mark.parametrize("limit", [2, 5, 8])
def test_every_token_but_the_first_is_predicted_once_and_from_half_a_window_at_least(length, limit):
    seen = []
    for start, first, end in windows(length, limit):
        assert 0 <= start < first < end <= length and end - start <= limit
        assert first == 1 or first - start >= limit - max(1, limit // 2)
        seen += range(first, end)
    assert seen == list(range(1, length))


def test_a_window_as_long_as_the_text_changes_nothing_and_a_shorter_one_knows_less(tiny_model):
    policy = load_policy(tiny_model)
    text = "a b c d e f g h " * 6
    length = len(policy.tokenizer(text, add_special_tokens=False)["input_ids"])
    whole, same, short = (perplexity(policy, [text], window=w).perplexity for w in (None, length, 4))
    assert same == pytest.approx(whole) and short != pytest.approx(whole, rel=1e-3)


def test_texts_without_two_tokens_are_refused(tiny_model):
    policy = load_policy(tiny_model)
    with pytest.raises(DataError, match="two tokens"):
        perplexity(policy, ["", " "])
    assert math.isnan(bits_per_byte(policy, [""]))


def test_a_ratio_of_sums_by_hand():
    """Two units, 1 of 1 and 3 of 3: nothing is spread. 1 of 1 and 2 of 3: ratio 3/4, rests 1/4 and -1/4, error
    sqrt(2 * 1/8) / 4 = 1/8; Student's t of one degree of freedom at 97.5 % is 12.706."""
    assert ratio_of_sums([1, 3], [1, 3]) == Interval(1.0, 1.0, 1.0)
    found = ratio_of_sums([1, 2], [1, 3])
    assert (found.low, found.high) == pytest.approx((0.75 - 12.7062 / 8, 0.75 + 12.7062 / 8), abs=1e-4)
    assert math.isnan(ratio_of_sums([1], [2]).low)


def test_units_of_one_cluster_are_one_unit():
    by_sums = ratio_of_sums([3, 2, 4], [4, 3, 5])
    assert ratio_of_sums([1, 2, 2, 4], [1, 3, 3, 5], ["a", "b", "a", "c"]) == by_sums
    assert ratio_of_sums([1, 2], [1, 3], [0, 1]) == ratio_of_sums([1, 2], [1, 3])
    assert math.isnan(ratio_of_sums([1, 2], [1, 3], ["a", "a"]).low)


def test_a_mark_that_the_tokenizer_puts_before_texts_is_read_and_the_first_token_predicted(tiny_model):
    from tokenizers.processors import TemplateProcessing
    from transformers import AutoModelForCausalLM

    policy = load_policy(tiny_model)
    tokenizer, text = copy.deepcopy(policy.tokenizer), "a small text."
    mark = tokenizer.eos_token
    tokenizer.bos_token = mark
    tokenizer.backend_tokenizer.post_processor = TemplateProcessing(
        single=f"{mark} $A", special_tokens=[(mark, tokenizer.eos_token_id)]
    )
    marked = replace(policy, tokenizer=tokenizer)
    ids = torch.tensor([tokenizer.eos_token_id, *policy.tokenizer(text, add_special_tokens=False)["input_ids"]])
    theirs = AutoModelForCausalLM.from_pretrained(tiny_model)(ids[None]).logits[0].log_softmax(-1)
    nats = -theirs[:-1].gather(1, ids[1:, None]).sum().item()
    found = perplexity(marked, [text])
    assert found.nats_per_token.estimate * found.tokens == pytest.approx(nats, rel=1e-4)
    assert (found.tokens, found.bytes) == (len(ids) - 1, len(text))


def test_texts_with_no_token_to_predict_are_counted(tiny_model):
    assert perplexity(load_policy(tiny_model), ["", "a small text.", " "]).too_short == 2


def test_the_loss_of_solutions_is_that_of_transformers_after_the_prompt(tiny_model):
    from transformers import AutoModelForCausalLM

    policy = load_policy(tiny_model)
    renderer = Renderer(policy.tokenizer, max_length=policy.decoder.config.max_length, more_stops=policy.stop_ids)
    asked = [Message("user", "1 + 2?")]
    prompt, answer = renderer.prompt(asked), renderer.completion("1 + 2 = 3.")
    labels = torch.tensor([[-100] * len(prompt) + answer])
    model = AutoModelForCausalLM.from_pretrained(tiny_model)
    theirs = model(torch.tensor([prompt + answer]), labels=labels).loss.item()
    found = solution_loss(policy, renderer, [(asked, "1 + 2 = 3.")])
    assert found.nats_per_token.estimate == pytest.approx(theirs, rel=1e-4)
    assert (found.tokens, found.bytes, found.texts) == (len(answer), len("1 + 2 = 3."), 1)
    assert math.log2(found.perplexity) * found.tokens / found.bytes == pytest.approx(found.bits_per_byte.estimate)


def test_solutions_beyond_the_context_are_left_out_and_counted(tiny_model):
    policy = load_policy(tiny_model)
    renderer = Renderer(policy.tokenizer, max_length=200, more_stops=policy.stop_ids)
    asked = [Message("user", "1 + 2?")]
    alone = solution_loss(policy, renderer, [(asked, "3"), (asked, "4")])
    found = solution_loss(policy, renderer, [(asked, "3"), (asked, "long " * 200), (asked, "4")])
    assert (found.texts, found.too_long) == (2, 1)
    assert found.nats_per_token == alone.nats_per_token
    with pytest.raises(DataError, match="none of 1 solutions fits"):
        solution_loss(policy, renderer, [(asked, "long " * 200)])
