"""What may never be hidden, told from a real tokenizer's pieces: digits of the answer, tags, roles of turns."""

from types import SimpleNamespace

import pytest

from whit.data.batch import Document
from whit.data.transforms._positions import eligible, final_digits, in_answer
from whit.data.transforms._types import surroundings
from whit.testing.tiny import tiny_tokenizer


@pytest.fixture(scope="module")
def words():
    return surroundings(tiny_tokenizer(), 999, 256, ["cross_entropy"])


def kept_text(words, text):
    """What is left of a text when only the digits of its last number stand."""
    ids = tiny_tokenizer()(text, add_special_tokens=False)["input_ids"]
    kept = sorted(final_digits(ids, words))
    return tiny_tokenizer().decode([ids[p] for p in kept]).strip()


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("so it is 42. Fin de la solución", "42"),
        ("so it is 42. Первый", "42"),
        ("3*4=12", "12"),
        ("5 6 7 8", "8"),
        ("it costs 1,250.50 in all", "125050"),
        ("of 12, 13 are left", "13"),
        ("none at all", ""),
    ],
)
def test_the_digits_of_the_last_number_are_kept_and_no_others(words, text, number):
    assert kept_text(words, text) == number


def test_tags_of_many_tokens_are_never_hidden(words):
    ids = tiny_tokenizer()("so <answer>seven</answer> it is", add_special_tokens=False)["input_ids"]
    document = Document(ids, ((1, len(ids)),))
    shown = eligible(document, words, keep_answer=True)
    hidden_text = tiny_tokenizer().decode([ids[p] for p in shown])
    assert not set("<>/") & set(hidden_text) and "answer" not in hidden_text and "seven" in hidden_text


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("<|start_header_id|>assistant<|end_header_id|>so", "<|end_header_id|>so"),
        ("<|user|> so [INST] it [/INST] is", "  so  it  is"),
        ("Question: so?\nAnswer: it is", " so?\n it is"),
        ("no Answer: in a line", "no Answer: in a line"),
    ],
)
def test_roles_of_turns_are_never_hidden_in_whatever_template(words, text, shown):
    ids = tiny_tokenizer()(text, add_special_tokens=False)["input_ids"]
    marked = words.markers(ids)
    assert (
        tiny_tokenizer().decode([token for place, token in enumerate(ids) if place not in marked]).split()
        == shown.split()
    )


def test_a_piece_that_spells_a_byte_in_hexadecimal_is_no_digit():
    tokenizer = SimpleNamespace(
        get_vocab=lambda: {"<0xD0>": 0, "<0x31>": 1, "▁4": 2, "7": 3, ",": 4}, all_special_ids=[], get_added_vocab=dict
    )
    words = surroundings(tokenizer, 999, 256, ["cross_entropy"])
    assert (words.digits, words.opening, words.points) == ({2, 3}, {2}, {4})


def test_the_end_of_a_turn_counts_only_where_it_is_supervised(words):
    end = tiny_tokenizer().eos_token_id
    ids = [*tiny_tokenizer()("a b c d e f g h", add_special_tokens=False)["input_ids"], end]
    length = len(ids) - 2
    for spans, count in ((((1, len(ids)),), length), (((1, len(ids) - 1),), length)):
        document = Document(ids, spans)
        settings = {"share": 0.5, "keep_answer": True}
        assert in_answer(document, words, 0, 0, longer_than=count - 1, **settings)
        assert not in_answer(document, words, 0, 0, longer_than=count, **settings)
