"""Every transform: the same for the same seed, targets as they were, and nothing hidden that may not be."""

import inspect
from dataclasses import replace

import pytest

from whit.core import parts
from whit.core.errors import RecipeError
from whit.data.batch import Document
from whit.data.transforms._types import Counts, Surroundings

EACH = pytest.mark.parametrize("name", parts.names("transform"))
EACH_COPY = pytest.mark.parametrize("name", ["meap_copy", "meap_joined"])
WORDS = Surroundings(mask_id=99, kept=frozenset({0, 1}), digits=frozenset(range(10, 20)))
# 20 tokens of a prompt, the first special; 61 of an answer that ends in two digits and a special one.
LONG = Document(ids=[0, *range(20, 39), *range(40, 98), 11, 12, 1], spans=((20, 81),))
SHORT = Document(ids=[0, *range(20, 39), *range(40, 60), 1], spans=((20, 41),))


def apply(name, documents, seed=0, words=WORDS, **settings):
    return parts.find("transform", name)(documents, words, seed, Counts(), **settings)


def hidden(document):
    return [p for p, (own, read) in enumerate(zip(document.ids, document.read, strict=True)) if own != read]


@EACH
def test_it_is_given_documents_and_its_settings_have_defaults(name):
    part = parts.find("transform", name)
    assert parts.inputs(part) == ["documents", "words", "seed", "counts"] and parts.source(part) == "arXiv:2502.07490"
    assert all(setting.default is not inspect.Parameter.empty for setting in parts.options(part).values())


@EACH
def test_a_share_of_nothing_changes_nothing(name):
    assert apply(name, [LONG, SHORT], share=0.0) == [LONG, SHORT]


@EACH
def test_the_same_seed_gives_the_same_and_rows_and_seeds_differ(name):
    one, again, other = apply(name, [LONG, LONG], 1), apply(name, [LONG, LONG], 1), apply(name, [LONG, LONG], 2)
    assert one == again
    shown = [tuple(hidden(d)) for d in one if hidden(d)]
    assert len(set(shown)) == 2 and shown != [tuple(hidden(d)) for d in other if hidden(d)]


@EACH
def test_what_is_hidden_is_shown_as_the_mask_and_is_nothing_special_nor_the_answer_nor_the_last(name):
    for seed in range(20):
        for document in apply(name, [LONG], seed, share=0.9):
            ids = list(document.ids)
            assert {document.read[p] for p in hidden(document)} <= {99}
            assert not {ids[p] for p in hidden(document)} & {0, 1, 11, 12}
            assert len(ids) - 1 not in hidden(document)


@EACH
def test_digits_of_the_answer_are_hidden_where_that_is_asked_for(name):
    found = {
        d.ids[p]
        for seed in range(20)
        for d in apply(name, [LONG], seed, share=0.9, keep_answer=False)
        for p in hidden(d)
    }
    assert {11, 12} <= found


@EACH_COPY
def test_a_copy_hides_answer_tokens_only_and_the_text_stays(name):
    made = apply(name, [LONG])
    assert all(p % 81 >= 20 for document in made for p in hidden(document))
    assert made[0].ids[:81] == LONG.ids and made[0].read[:81] == LONG.ids and made[0].spans[:1] == LONG.spans


@EACH_COPY
@pytest.mark.parametrize(("tokens", "masked"), [(50, 0), (51, 5), (59, 5), (60, 6)])
def test_an_answer_has_a_copy_from_51_tokens_on(name, tokens, masked):
    """floor(0.1 n) of them, and the end of turn is neither counted nor hidden."""
    document = Document(ids=[0, *range(20, 39), *[40] * tokens, 1], spans=((20, 21 + tokens),))
    made = apply(name, [document])
    assert sum(len(hidden(d)) for d in made) == masked
    assert sum(d.num_supervised for d in made) == tokens + 1 + masked


@EACH_COPY
def test_what_carries_a_teachers_values_has_no_copy(name):
    with pytest.raises(RecipeError, match='transform = "meap"'):
        apply(name, [replace(LONG, recorded={"kept_ids_TK": [[1]] * 61})])


def test_the_loss_of_a_copy_is_on_what_it_hides_with_the_weight_that_is_asked_for():
    words = replace(WORDS, terms=("cross_entropy", "forward_kl"))
    own = replace(LONG, weights={"forward_kl": 0.5})
    text, copy = apply("meap_copy", [own], words=words, weight=3.0)
    assert text == own
    assert [p for start, end in copy.spans for p in range(start, end)] == hidden(copy) != []
    assert copy.ids == LONG.ids and copy.weights == {"cross_entropy": 3.0, "forward_kl": 1.5}


def test_a_joined_copy_stands_behind_its_text_and_is_scored_on_what_it_hides():
    (joined,) = apply("meap_joined", [LONG])
    assert joined.ids == [*LONG.ids, *LONG.ids] and all(p >= 81 + 20 for p in hidden(joined))
    assert joined.spans == ((20, 81), *((p, p + 1) for p in hidden(joined)))


def test_a_joined_copy_that_does_not_fit_the_context_is_left_out_and_counted():
    counts = Counts()
    (same,) = parts.find("transform", "meap_joined")([LONG], replace(WORDS, max_length=161), 0, counts)
    assert same == LONG and counts.seen == {"copies_too_long": 1}
    assert len(apply("meap_joined", [LONG], words=replace(WORDS, max_length=162))[0].ids) == 162


@pytest.mark.parametrize(
    ("length", "share", "masked"),
    [(4096, 0.05, 204), (4096, 0.1, 409), (4096, 0.15, 614), (4096, 0.2, 819), (10, 0.05, 1), (1, 0.5, 0)],
)
def test_counts_of_the_paper(length, share, masked):
    """Of L input tokens all but the last may be hidden."""
    (document,) = apply("meap", [Document(ids=[40] * length, spans=((1, length),) if length > 1 else ())], share=share)
    assert len(hidden(document)) == masked and document.ids == [40] * length and document.num_supervised == length - 1


def test_every_eligible_position_has_the_same_chance():
    seen = [0] * 81
    for seed in range(2000):
        for p in hidden(apply("meap", [LONG], seed, share=0.2)[0]):
            seen[p] += 1
    eligible = [p for p in range(80) if LONG.ids[p] not in (0, 1, 11, 12)]
    expected = 2000 * int(0.2 * len(eligible)) / len(eligible)
    assert all(abs(seen[p] - expected) < 5 * expected**0.5 for p in eligible)  # 5 standard deviations
