"""What a policy reads may differ from what it is to say: targets stay, hidden tokens give nothing, teachers see all."""

import math
from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F  # noqa: N812

from whit.core.parts import find
from whit.data.batch import Document, collate
from whit.data.sharing import micro_batches, work
from whit.data.transforms._types import Counts, Surroundings
from whit.models.attention import Packed
from whit.objectives._types import Term
from whit.objectives.cross_entropy import cross_entropy
from whit.objectives.forward_kl import forward_kl
from whit.testing.tiny import tiny_decoder, tiny_documents
from whit.training.optim import Optim, Optimizer
from whit.training.signals import Forward, accumulate, score
from whit.training.teachers import Live
from whit.training.weights import token_weights

CPU = torch.device("cpu")
MASK = 63


def shown(document: Document, *positions: int) -> Document:
    return replace(document, shown=[MASK if p in positions else token for p, token in enumerate(document.ids)])


def gradient(decoder, documents, objective=cross_entropy, teacher=None, reduction="token"):
    term = Term(objective, reduction=reduction)
    optimizer = Optimizer(decoder, Optim(), 1e-3)
    weights = {term.name: token_weights(documents, term)}
    sums = accumulate(Forward(decoder, teacher), collate(documents, CPU), [term], weights, optimizer, 0.0)
    found = {name: m.grad.clone() for (name, _), m in zip(decoder.named_parameters(), optimizer.masters, strict=True)}
    decoder.zero_grad()
    return found, float(sums.terms[term.name])


def hidden_states(decoder, ids):
    return decoder(torch.tensor(ids), torch.arange(len(ids)), Packed([len(ids)], CPU))


@pytest.fixture
def decoder():
    return tiny_decoder(seed=3)


def test_labels_are_of_the_clean_text_and_the_policy_reads_the_other():
    (document,) = tiny_documents((3, 5))
    batch = collate([shown(document, 4, 6)], CPU)
    assert batch.labels_T.tolist() == document.ids[3:]
    assert batch.tokens_L.tolist() == [*document.ids[:4], MASK, document.ids[5], MASK, document.ids[7]]
    assert batch.clean_L.tolist() == document.ids


def test_the_loss_is_cross_entropy_of_clean_targets_after_masked_inputs(decoder):
    (document,) = tiny_documents((3, 5))
    masked = shown(document, 4, 6)
    logits_LV = decoder.logits(hidden_states(decoder, masked.shown))
    expected = F.cross_entropy(logits_LV[2:7], torch.tensor(document.ids[3:]))
    assert gradient(decoder, [masked])[1] == pytest.approx(expected.item(), rel=1e-12)


def test_nothing_hidden_is_nothing_changed_to_the_bit(decoder):
    documents = tiny_documents((20, 5), (3, 9))
    own, value = gradient(decoder, documents)
    words = Surroundings(MASK)
    for name in ("meap", "meap_copy", "meap_joined"):
        same, same_value = gradient(decoder, find("transform", name)(documents, words, 0, Counts(), share=0.0))
        assert same_value == value and all(torch.equal(same[key], own[key]) for key in own)


def test_a_hidden_token_gives_its_row_no_gradient():
    """With a head of its own the embedding's row is reached through what is read alone."""
    decoder = tiny_decoder(seed=3, tie_word_embeddings=False)
    document = Document(ids=[5, 6, 7, 8, 9], spans=((1, 5),))
    own, _ = gradient(decoder, [shown(document, 2)])
    rows = own["model.embed_tokens.weight"].abs().sum(1)
    assert rows[7] == 0 and rows[MASK] > 0 and rows[5] > 0 and rows[6] > 0


def test_a_teacher_reads_what_is_hidden(decoder):
    teacher = tiny_decoder(seed=4)
    (document,) = tiny_documents((3, 5))
    masked = shown(document, 4, 6)
    own_LV = decoder.logits(hidden_states(decoder, masked.shown))[2:7].log_softmax(-1)
    theirs_LV = teacher.logits(hidden_states(teacher, document.ids))[2:7].log_softmax(-1)
    expected = F.kl_div(own_LV, theirs_LV, reduction="batchmean", log_target=True)
    assert gradient(decoder, [masked], forward_kl, Live((teacher,)))[1] == pytest.approx(float(expected), rel=1e-9)


def test_a_prompt_is_shared_only_where_it_is_shown_alike(decoder):
    (prompt,) = tiny_documents((20, 0))
    one, two = (Document(ids=[*prompt.ids, *end], spans=((20, 23),)) for end in ([1, 2, 3], [4, 5, 6]))
    assert len(collate([one, two], CPU).tokens_L) == 26
    assert len(collate([one, shown(two, 21)], CPU).tokens_L) == 26  # hidden after the prompt
    assert len(collate([one, shown(two, 4)], CPU).tokens_L) == 46
    assert len(collate([shown(one, 4), shown(two, 4)], CPU).tokens_L) == 26
    assert len(collate([shown(one, 4), shown(two, 5)], CPU).tokens_L) == 46
    for pair in ([one, shown(two, 4)], [shown(one, 4), shown(two, 4)], [one, shown(two, 21)]):
        together = score(decoder, collate(pair, CPU))[0]
        apart = torch.cat([score(decoder, collate([d], CPU))[0] for d in pair])
        torch.testing.assert_close(together, apart, rtol=1e-9, atol=1e-9)
        assert work(pair)[0] == len(collate(pair, CPU).tokens_L)
    assert micro_batches([one, shown(two, 4)], 26) == [[0], [1]]


@pytest.mark.parametrize("share", [0.05, 0.5])
def test_a_uniform_model_loses_the_logarithm_of_its_vocabulary(share):
    decoder = tiny_decoder()
    with torch.no_grad():
        decoder.model.norm.weight.zero_()
    documents = [Document(ids=list(range(2, 40)), spans=((1, 38),))]
    masked = find("transform", "meap")(documents, Surroundings(MASK), 0, Counts(), share=share)
    assert gradient(decoder, masked)[1] == pytest.approx(math.log(64), rel=1e-12)


def test_a_bigram_model_with_a_unigram_row_for_the_mask_loses_what_the_two_entropies_say():
    """(1 - P) times the entropy of what follows a token, and P times that of a token: on a chain of 8 states."""
    generator = torch.Generator().manual_seed(0)
    chain_VV = torch.rand(8, 8, generator=generator, dtype=torch.float64).pow(3)
    chain_VV = chain_VV / chain_VV.sum(1, keepdim=True)
    stationary_V = torch.linalg.matrix_power(chain_VV, 200)[0]
    table = torch.cat([chain_VV, stationary_V[None]]).log()  # row 8 is the mask's
    ids = [0]
    for draw in torch.rand(40_000, generator=generator, dtype=torch.float64):
        ids.append(min(7, int((chain_VV[ids[-1]].cumsum(0) < draw).sum())))
    document = Document(ids=ids, spans=((1, len(ids)),))
    (masked,) = find("transform", "meap")([document], Surroundings(8), 0, Counts(), share=0.15)
    losses = -table[torch.tensor(masked.read[:-1]), torch.tensor(ids[1:])]
    bigram = -(stationary_V[:, None] * chain_VV * chain_VV.log()).sum()
    unigram = -(stationary_V * stationary_V.log()).sum()
    assert float(losses.mean()) == pytest.approx(float(0.85 * bigram + 0.15 * unigram), abs=0.02)
    assert unigram - bigram > 0.1
