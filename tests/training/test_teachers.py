"""Where the teacher's signals come from: live models, mixtures of them, a cache, a model of other tokens."""

import pytest
import torch
from torch import Tensor, nn

from whit.core.errors import PartError
from whit.core.flops import forward_flops
from whit.data.batch import Document, Twin, collate
from whit.models.watch import watched_layers
from whit.objectives._types import Term
from whit.objectives.byte_merge import byte_merge
from whit.objectives.cross_entropy import cross_entropy
from whit.objectives.forward_kl import forward_kl
from whit.objectives.hidden_cosine import hidden_cosine
from whit.objectives.hidden_mse import hidden_mse
from whit.objectives.taid import taid
from whit.objectives.topk_kl import topk_kl
from whit.objectives.uld import uld
from whit.testing.tiny import tiny_decoder, tiny_documents
from whit.training.chunks import row_chunks, whole_groups
from whit.training.layers import Projections
from whit.training.optim import Optim, Optimizer
from whit.training.signals import Forward, accumulate
from whit.training.sums import Sums
from whit.training.teachers import Kept, Live, OtherTokens, merged, spread_out, supervised_states
from whit.training.vocabulary import check_terms
from whit.training.weights import token_weights

CPU = torch.device("cpu")
STUDENT, TEACHER, SECOND = tiny_decoder(), tiny_decoder(seed=1), tiny_decoder(seed=2)
DOCUMENTS = tiny_documents((5, 4), (3, 6), (7, 2))
NARROW = 64 * 4 * 3  # bytes of three rows of logits: many chunks


def gradient(
    forward: Forward, documents: list[Document], terms: list[Term], beside: nn.Module | None = None
) -> tuple[Sums, dict[str, Tensor]]:
    """The sums and the gradient of one micro-batch, by name; the model's own weights are left alone."""
    optimizer = Optimizer(forward.policy, Optim(), 1.0, beside=beside)
    optimizer.adamw.zero_grad(set_to_none=True)
    weights = {term.name: token_weights(documents, term) for term in terms}
    sums = accumulate(forward, collate(documents, CPU), terms, weights, optimizer, 0.0)
    found = {n: m.grad.clone() for n, m in zip(optimizer.names, optimizer.masters, strict=True) if m.grad is not None}
    optimizer.adamw.zero_grad(set_to_none=True)
    return sums, found


def logits_of(model: nn.Module, documents: list[Document]) -> Tensor:
    batch = collate(documents, CPU)
    return model.logits(supervised_states(model, batch))


def close(left: dict[str, Tensor], right: dict[str, Tensor]) -> None:
    assert left.keys() == right.keys()
    for name in left:
        torch.testing.assert_close(left[name], right[name], msg=name)


def test_several_teachers_are_the_mixture_of_their_distributions():
    teacher = Live((TEACHER, SECOND), (0.75, 0.25))
    rows = teacher.rows(collate(DOCUMENTS, CPU)).signals(slice(2, 9), {"teacher_logits_TV", "teacher_logprobs_T"})
    expected = 0.75 * logits_of(TEACHER, DOCUMENTS).softmax(-1) + 0.25 * logits_of(SECOND, DOCUMENTS).softmax(-1)
    torch.testing.assert_close(rows["teacher_logits_TV"].softmax(-1), expected[2:9])
    labels = collate(DOCUMENTS, CPU).labels_T[2:9, None]
    torch.testing.assert_close(rows["teacher_logprobs_T"], expected[2:9].log().gather(-1, labels)[:, 0])


def test_teachers_are_charged_each_and_a_cache_costs_nothing_more():
    one, two = Live((TEACHER,)), Live((TEACHER, SECOND), (0.5, 0.5))
    assert two.flops(DOCUMENTS) == 2 * one.flops(DOCUMENTS) > 0
    assert Kept(64).flops(DOCUMENTS) == 0


def test_what_a_cache_kept_is_spread_out_to_a_whole_distribution():
    kept = torch.tensor([[0.5, 0.3, 0.0], [0.6, 0.2, 0.1]], dtype=torch.float64).log()
    full = spread_out(torch.tensor([[4, 1, 0], [2, 0, 3]]), kept, 5).exp()
    assert full.tolist() == [
        pytest.approx([0.2 / 3, 0.3, 0.2 / 3, 0.2 / 3, 0.5]),
        pytest.approx([0.2, 0.05, 0.6, 0.1, 0.05]),
    ]


def recorded(documents: list[Document], k: int) -> list[Document]:
    """The documents with the teacher's k likeliest tokens."""
    from dataclasses import replace

    logprobs_TK, ids_TK = logits_of(TEACHER, documents).log_softmax(-1).detach().topk(k, -1)
    sizes = [d.num_supervised for d in documents]
    parts = zip(documents, torch.split(ids_TK, sizes), torch.split(logprobs_TK, sizes), strict=True)
    return [replace(d, recorded={"kept_ids_TK": ids, "kept_logprobs_TK": lps}) for d, ids, lps in parts]


def test_all_tokens_kept_train_as_the_live_teacher_does():
    live = gradient(Forward(STUDENT, Live((TEACHER,))), DOCUMENTS, [Term(forward_kl)])
    with_all = recorded(DOCUMENTS, 64)
    spread = gradient(Forward(STUDENT, Kept(64)), with_all, [Term(forward_kl)])
    sparse = gradient(Forward(STUDENT, chunk_bytes=NARROW), with_all, [Term(topk_kl)])
    for sums, found in (spread, sparse):
        torch.testing.assert_close(next(iter(sums.terms.values())), live[0].terms["forward_kl"], rtol=1e-4, atol=1e-5)
        for name in found:
            torch.testing.assert_close(found[name], live[1][name], rtol=1e-4, atol=1e-6)


def test_a_spread_out_cache_and_the_sparse_loss_that_spreads_agree():
    from functools import partial

    documents = recorded(DOCUMENTS, 5)
    dense = gradient(Forward(STUDENT, Kept(64)), documents, [Term(forward_kl)])
    sparse = gradient(Forward(STUDENT), documents, [Term(partial(topk_kl, rest="spread"))])
    torch.testing.assert_close(dense[0].terms["forward_kl"], sparse[0].terms["topk_kl"])
    close(dense[1], sparse[1])


def with_twin(document: Document, groups: list[tuple[int, int]], seed: int) -> Document:
    """A document with a random twin whose completion has the groups' tokens."""
    from dataclasses import replace

    (twin,) = tiny_documents((4, sum(theirs for _, theirs in groups)), seed=seed)
    return replace(document, twin=Twin(twin, tuple(groups)))


GROUPS = [[(1, 1), (2, 1), (1, 3)], [(1, 2), (4, 1), (1, 1)], [(2, 2)]]
TWINNED = [with_twin(d, g, n) for n, (d, g) in enumerate(zip(DOCUMENTS, GROUPS, strict=True))]
COMMON = OtherTokens(TEACHER, torch.tensor([0, 3, 9]), torch.tensor([5, 4, 60]))


def test_a_group_has_the_distribution_of_its_first_token_times_the_probability_of_the_others():
    logits = torch.tensor([[0.6, 0.4], [0.9, 0.1], [0.2, 0.8]], dtype=torch.float64).log()
    found = merged(logits, torch.tensor([0, 0, 1]), torch.tensor([0, 2]), torch.tensor([2, 1])).exp()
    assert found.tolist() == [pytest.approx([0.54, 0.36]), pytest.approx([0.2, 0.8])]


@pytest.mark.parametrize("objective", [uld, byte_merge])
def test_losses_of_other_tokens_are_those_of_the_merged_groups_however_they_are_chunked(objective):
    term = Term(objective)
    sums, found = gradient(Forward(STUDENT, COMMON), TWINNED, [term])
    student, teacher = logits_of(STUDENT, TWINNED), logits_of(TEACHER, [d.twin.document for d in TWINNED])
    rows = collate(TWINNED, CPU).groups
    labels = collate(TWINNED, CPU).labels_T, collate([d.twin.document for d in TWINNED], CPU).labels_T
    ours, theirs = (
        merged(student, labels[0], rows[:, 0], rows[:, 1]),
        merged(teacher, labels[1], rows[:, 2], rows[:, 3]),
    )
    extra = () if objective is uld else (COMMON.common_ids_C, COMMON.teacher_common_ids_C)
    whole = objective(ours, theirs.detach(), *extra).mean()  # over groups
    torch.testing.assert_close(sums.terms[term.name], whole.detach(), check_dtype=False, rtol=1e-6, atol=1e-7)
    whole.backward()
    expected = {n: p.grad.clone() for n, p in STUDENT.named_parameters() if p.grad is not None}
    STUDENT.zero_grad()
    for name in found:
        torch.testing.assert_close(found[name], expected[name], msg=name, rtol=1e-5, atol=1e-7)
    chunked = gradient(Forward(STUDENT, COMMON, chunk_bytes=NARROW), TWINNED, [term])
    close(chunked[1], found)


def test_the_teacher_of_other_tokens_is_charged_for_its_own_reading_of_the_text():
    from whit.data.sharing import work

    tokens, scored, pairs = work([d.twin.document for d in TWINNED])
    assert COMMON.flops(TWINNED) == forward_flops(TEACHER.config.shape, tokens, scored, pairs)


def test_chunks_end_where_groups_end():
    chunks = [slice(0, 4), slice(4, 8), slice(8, 12)]
    assert whole_groups(chunks, []) == chunks
    assert whole_groups(chunks, [(0, 3), (3, 3), (6, 6)]) == [slice(0, 3), slice(3, 6), slice(6, 12)]
    assert whole_groups(chunks, [(0, 1), (1, 7)]) == [slice(0, 1), slice(1, 8), slice(8, 12)]
    assert row_chunks(0, STUDENT) == []


def test_hidden_states_are_those_of_the_layers_and_reach_the_weights_before_them_only():
    projections = Projections(2, 16, 16, torch.zeros((), dtype=torch.float64), seed=3)
    forward = Forward(STUDENT, Live((TEACHER,), layers=(1, 0)), layers=(0, -1), projections=projections)
    sums, found = gradient(forward, DOCUMENTS, [Term(hidden_mse)], projections)
    batch = collate(DOCUMENTS, CPU)
    with watched_layers(STUDENT, (0, 1)) as ours, watched_layers(TEACHER, (1, 0)) as theirs:
        supervised_states(STUDENT, batch)
        supervised_states(TEACHER, batch)
    states_TLD = torch.stack([state[batch.source_T] for state in ours], 1)
    teacher_TLE = torch.stack([state[batch.source_T] for state in theirs], 1).detach()
    expected = hidden_mse(projections(states_TLD), teacher_TLE).mean()
    torch.testing.assert_close(sums.terms["hidden_mse"], expected.detach(), check_dtype=False, rtol=1e-6, atol=1e-7)
    expected.backward()
    torch.testing.assert_close(found["beside.weight_LED"], projections.weight_LED.grad, rtol=1e-5, atol=1e-7)
    layers = STUDENT.layers()
    torch.testing.assert_close(
        found["model.layers.0.mlp.up_proj.weight"], layers[0].mlp.up_proj.weight.grad, rtol=1e-5, atol=1e-7
    )
    assert not found["model.norm.weight"].any()  # it stands after the last layer
    STUDENT.zero_grad()


def test_hidden_states_are_the_same_with_gradient_checkpointing_and_in_chunks():
    projections = Projections(1, 16, 16, torch.zeros((), dtype=torch.float64), seed=3)
    terms = [Term(hidden_cosine), Term(cross_entropy)]
    forward = Forward(STUDENT, Live((TEACHER,), layers=(-1,)), layers=(-1,), projections=projections)
    _, whole = gradient(forward, DOCUMENTS, terms, projections)
    narrow = Forward(STUDENT, Live((TEACHER,), layers=(-1,)), layers=(-1,), projections=projections, chunk_bytes=NARROW)
    STUDENT.recompute = True
    try:
        _, again = gradient(narrow, DOCUMENTS, terms, projections)
    finally:
        STUDENT.recompute = False
    close(again, whole)


def test_taid_is_told_where_its_target_stands():
    at_teacher = Forward(STUDENT, Live((TEACHER,)), interpolation=lambda: 1.0)
    _, found = gradient(at_teacher, DOCUMENTS, [Term(taid)])
    _, expected = gradient(Forward(STUDENT, Live((TEACHER,))), DOCUMENTS, [Term(forward_kl)])
    close(found, expected)
    at_student = Forward(STUDENT, Live((TEACHER,)), interpolation=lambda: 0.0)
    assert all(g.abs().max() < 1e-12 for g in gradient(at_student, DOCUMENTS, [Term(taid)])[1].values())


@pytest.mark.parametrize(
    ("objective", "teacher", "message"),
    [
        (forward_kl, None, "needs a teacher"),
        (forward_kl, COMMON, "compared by uld or byte_merge"),
        (uld, Live((TEACHER,)), "compared by forward_kl and its kin"),
        (hidden_mse, Live((TEACHER,)), "hidden_layers"),
        (hidden_mse, Kept(64), "need a live teacher"),
    ],
)
def test_a_signal_that_the_teacher_cannot_give_is_refused_with_what_works_instead(objective, teacher, message):
    with pytest.raises(PartError, match=message):
        check_terms([Term(objective)], teacher)
