"""A mask token: read by the model, never written, kept with it; everything else stays as it was."""

import json

import pytest
import torch

from whit.core.errors import ModelError
from whit.generation.engine import Engine
from whit.generation.sampler import Sampling
from whit.models.attention import Packed
from whit.models.load import Policy, load_policy
from whit.models.mask_token import ROWS, add_mask_token
from whit.testing.tiny import tiny_decoder, tiny_model, tiny_tokenizer


@pytest.fixture
def policy(tmp_path):
    return load_policy(tiny_model(tmp_path / "tiny"))


def logits(policy, ids):
    decoder = policy.decoder
    tokens_L = torch.tensor(ids)
    return decoder.logits(decoder(tokens_L, torch.arange(len(ids)), Packed([len(ids)], tokens_L.device)))


def test_what_the_model_says_of_its_own_tokens_stays(policy):
    before = logits(policy, [5, 6, 7]).clone()
    size = before.shape[-1]
    mask_id = add_mask_token(policy)
    after = logits(policy, [5, 6, 7])
    assert mask_id == size and after.shape[-1] % ROWS == 0
    torch.testing.assert_close(after[:, :size], before, atol=1e-6, rtol=1e-6)  # a larger product rounds otherwise
    assert policy.tokenizer.decode([mask_id]) == "[MASK]" and len(policy.tokenizer) == mask_id + 1


def test_asked_again_it_is_the_same(policy):
    assert add_mask_token(policy) == add_mask_token(policy)
    assert policy.decoder.config.shape.vocab_size == policy.decoder.head().weight.shape[0]


def test_its_row_is_the_mean_and_a_tied_head_stays_tied(policy):
    table = policy.decoder.model.embed_tokens.weight.clone()
    mask_id = add_mask_token(policy)
    grown = policy.decoder.model.embed_tokens.weight
    torch.testing.assert_close(grown[mask_id], table.mean(0))
    assert policy.decoder.head().weight is grown and grown.requires_grad


def test_a_spare_row_is_taken_and_nothing_grows(tmp_path):
    tokenizer = load_policy(tiny_model(tmp_path / "tiny")).tokenizer
    policy = Policy(tiny_decoder(vocab_size=len(tokenizer) + 10), tokenizer, tmp_path)
    mask_id = add_mask_token(policy)
    assert mask_id == len(tokenizer) - 1 and policy.decoder.config.shape.vocab_size == len(tokenizer) - 1 + 10
    assert policy.decoder.never == (mask_id,)


def test_an_untied_head_gets_rows_that_say_nothing(tmp_path):
    policy = load_policy(tiny_model(tmp_path / "untied", tie_word_embeddings=False))
    mask_id = add_mask_token(policy)
    assert not logits(policy, [5, 6])[:, mask_id:].any()


@pytest.mark.parametrize("greedy", [True, False])
def test_it_is_never_sampled(policy, greedy):
    mask_id = add_mask_token(policy)
    with torch.no_grad():  # as likely as can be
        policy.decoder.model.embed_tokens.weight[mask_id:] = 100 * policy.decoder.model.embed_tokens.weight[mask_id]
    engine = Engine(policy.decoder, frozenset({0}))
    sampling = Sampling(temperature=0.0 if greedy else 1.0, max_new_tokens=20)
    groups = engine.generate([[5, 6, 7], [8, 9]], sampling, num_samples=4)
    assert max(token for group in groups for completion in group for token in completion.ids) < mask_id


def test_it_is_kept_with_the_model_and_transformers_does_not_write_it_either(policy, tmp_path):
    mask_id = add_mask_token(policy)
    policy.save(tmp_path / "saved")
    again = load_policy(tmp_path / "saved")
    assert again.tokenizer.mask_token_id == mask_id and again.decoder.never == policy.decoder.never
    assert torch.equal(logits(again, [5, mask_id, 7]), logits(policy, [5, mask_id, 7]))
    assert json.loads((tmp_path / "saved" / "config.json").read_text())["vocab_size"] % ROWS == 0

    from transformers import AutoModelForCausalLM

    theirs = AutoModelForCausalLM.from_pretrained(tmp_path / "saved")
    assert mask_id in theirs.generation_config.suppress_tokens
    ids = torch.tensor([[5, mask_id, 7]])
    with torch.no_grad():
        torch.testing.assert_close(theirs(ids).logits[0], logits(policy, ids[0].tolist()), atol=1e-4, rtol=1e-4)


def test_a_model_that_transformers_runs_grows_too(tmp_path):
    from transformers import GPTNeoXConfig, GPTNeoXForCausalLM

    tokenizer = tiny_tokenizer()
    config = GPTNeoXConfig(vocab_size=len(tokenizer), hidden_size=16, num_hidden_layers=2, num_attention_heads=2,
                           intermediate_size=32, max_position_embeddings=64)  # fmt: skip
    GPTNeoXForCausalLM(config).save_pretrained(tmp_path / "neox")
    tokenizer.save_pretrained(tmp_path / "neox")
    policy = load_policy(tmp_path / "neox")
    before = logits(policy, [5, 6, 7]).detach()
    mask_id = add_mask_token(policy)
    after = logits(policy, [5, 6, 7])
    torch.testing.assert_close(after[:, : before.shape[-1]], before)
    policy.save(tmp_path / "saved")
    again = load_policy(tmp_path / "saved")
    torch.testing.assert_close(logits(again, [5, mask_id]), logits(policy, [5, mask_id]))


def test_a_config_that_names_no_vocabulary_is_refused(tmp_path):
    from whit.models.hub import HubConfig
    from whit.models.mask_token import _grow_hub

    class Stub:
        config = HubConfig(tiny_decoder().config.shape, 64, {"text_config": {}})

    with pytest.raises(ModelError, match="vocab_size"):
        _grow_hub(Stub(), 128)
