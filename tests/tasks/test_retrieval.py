"""What stands in a long text: the answer can be read off it, at the depth and the length that were asked for."""

import json
import re
from itertools import islice

import pytest

from whit.core.errors import DataError, PartError, UsageError
from whit.core.parts import bind
from whit.tasks.documents import documents
from whit.tasks.key_values import key_values
from whit.tasks.mixed import mixed
from whit.tasks.needle import needle


@pytest.mark.parametrize("form", ["words", "letters", "uuid"])
def test_the_value_of_the_key_stands_once_in_the_records(form):
    for example in key_values("train", pairs=(5, 9), form=form, size=50):
        key = re.match(r"Find the value of (\S+) in", example.prompt)[1]
        records = dict(re.split(": | ", line) for line in example.prompt.splitlines()[1:-1])
        assert records[key] == example.gold and len(records) == example.metadata["pairs"]
        assert 5 <= len(records) <= 9
        place = list(records).index(key)
        assert example.metadata["depth"] == round(place / (len(records) - 1), 1)


def test_several_keys_are_answered_in_their_order():
    for example in key_values("train", pairs=(4, 6), queries=3, size=50):
        keys = re.match(r"Find the values of (.+) in these", example.prompt)[1].split()
        records = dict(line.split(": ") for line in example.prompt.splitlines()[1:-1])
        assert len(set(keys)) == 3 and example.gold == " ".join(records[key] for key in keys)


def test_more_keys_than_pairs_come_again():
    example = next(key_values("train", pairs=(3, 3), queries=8, form="letters", size=1))
    keys = re.match(r"Find the values of (.+) in these", example.prompt)[1].split()
    records = dict(line.split() for line in example.prompt.splitlines()[1:-1])
    assert len(keys) == 8 and set(keys) <= records.keys() and example.gold == " ".join(records[key] for key in keys)


def test_a_record_repeats_its_key_as_it_stands():
    for form in ("words", "letters"):
        example = next(key_values("train", pairs=(3, 3), queries=2, form=form, reply="record", size=1))
        keys = re.match(r"Find the values of (.+) in these", example.prompt)[1].split()
        lines = example.prompt.splitlines()[1:-1]
        assert example.gold.splitlines() == [next(line for line in lines if line.startswith(key)) for key in keys]
        assert "records" in example.instruction


def test_depths_are_where_they_are_asked_for():
    for depth, place in ((0.0, 0), (0.5, 5), (1.0, 10)):
        for example in key_values("test", pairs=(11, 11), depths=(depth,), size=20):
            assert example.metadata["depth"] == depth
            assert example.prompt.splitlines()[1 + place].endswith(f": {example.gold}")


def test_ood_is_longer_than_anything_before():
    assert all(10 <= e.metadata["pairs"] <= 18 for e in key_values("ood", pairs=(4, 9), size=50))
    assert all(21 <= e.metadata["sentences"] <= 40 for e in needle("ood", sentences=(5, 20), size=50))


def test_one_needle_is_the_only_box():
    for example in needle("train", sentences=(10, 20), size=50):
        boxes = re.findall(r"The box of (\w+) holds (\d+) coins\.", example.prompt)
        assert boxes == [(re.search(r"the box of (\w+) hold\?", example.prompt)[1], example.gold)]


def test_boxes_of_others_stand_beside_it():
    for example in needle("train", sentences=(10, 20), decoys=3, size=50):
        boxes = dict(re.findall(r"The box of (\w+) holds (\d+) coins\.", example.prompt))
        assert len(boxes) == 4 and boxes[re.search(r"the box of (\w+) hold\?", example.prompt)[1]] == example.gold


@pytest.mark.parametrize("needles", [2, 4])
def test_several_needles_have_to_be_added_up(needles):
    orders = set()
    for example in needle("train", sentences=(10, 20), needles=needles, size=50):
        held = dict(re.findall(r"The box of (\w+) holds (\d+) coins\.", example.prompt))
        more = re.findall(r"The box of (\w+) holds (\d+) coins more than the box of (\w+)\.", example.prompt)
        assert len(held) == 1 and len(more) == needles - 1
        known = {name: int(count) for name, count in held.items()}
        while len(known) < needles:
            known |= {name: int(count) + known[before] for name, count, before in more if before in known}
        asked = re.search(r"the box of (\w+) hold\?", example.prompt)[1]
        assert str(known[asked]) == example.gold
        orders.add(tuple(name in held for name in re.findall(r"The box of (\w+) holds", example.prompt)))
    assert len(orders) > 1  # the facts stand in any order


def test_a_question_stands_with_one_passage_that_answers_it(tmp_path, monkeypatch):
    monkeypatch.setenv("WHIT_DATA", str(source(tmp_path)))
    for example in documents("train", documents=5, depths=(0.25,)):
        passages = re.findall(r"Document \d+: (.*)", example.prompt)
        right = [any(answer in text for answer in example.metadata["answers"]) for text in passages]
        assert right == [False, True, False, False, False] and example.metadata["depth"] == 0.2


def passages_of(tmp_path, rows, **settings):
    file = tmp_path / "nq.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    every = [e for split in ("train", "dev", "test") for e in documents(split, path=file, **settings)]
    return {e.gold: re.findall(r"Document \d+: (.*)", e.prompt) for e in every}


def row(answer, text, number=0):
    return {"question": f"who is {number}", "answers": [answer], "gold_title": f"T{number}", "gold_text": text}


def test_an_answer_of_one_letter_stands_in_other_texts_as_part_of_words_only(tmp_path):
    rows = [row("S", "The letter is S here."), *(row(f"P{n}", f"It was said so of P{n}.", n) for n in range(1, 60))]
    assert len(passages_of(tmp_path, rows, documents=3)["S"]) == 3


def test_too_few_passages_without_the_answer_are_an_error_and_no_endless_search(tmp_path):
    rows = [row("Ann", f"Here is Ann number {n}.", n) for n in range(40)]
    with pytest.raises(DataError, match="only 0 of the"):
        passages_of(tmp_path, rows, documents=3)


def test_a_long_passage_is_cut_around_its_answer(tmp_path):
    rows = [row(f"P{n}", f"{'word ' * 150}P{n} {'more ' * 40}", n) for n in range(30)]
    for gold, passages in passages_of(tmp_path, rows, documents=2).items():
        assert any(re.search(rf"\b{gold}\b", text) for text in passages)
        assert all(len(text.split()) <= 101 for text in passages)


def test_the_published_file_is_read_as_it_is(tmp_path):
    rows = [
        {"question": f"who is {n}", "answers": [f"Person {n}."],
         "ctxs": [{"title": f"T{n}", "text": f"It is Person {n}.", "isgold": True, "hasanswer": True}]} for n in range(60)
    ]  # fmt: skip
    file = tmp_path / "nq-open-oracle.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert len({e.id for split in ("train", "dev", "test") for e in documents(split, documents=2, path=file)}) == 60


def test_data_that_is_not_there_is_named_with_where_to_get_it(monkeypatch):
    monkeypatch.delenv("WHIT_DATA", raising=False)
    with pytest.raises(DataError, match=r"nq-open-oracle\.jsonl\.gz"):
        next(documents("test"))


def test_a_mixture_takes_its_tasks_in_turn():
    of = ({"name": "key_values", "pairs": [4, 6]}, {"name": "needle"}, {"name": "word_problems"})
    found = [e.metadata["domain"] for e in mixed("train", of=of, size=7)]
    assert found == ["key_values", "needle", "word_problems"] * 2 + ["key_values"]


@pytest.mark.parametrize(
    ("name", "settings", "told"),
    [
        ("key_values", {"pairs": [9, 4]}, "pairs"),
        ("key_values", {"form": "letters", "pairs": [20, 30]}, "26 letters"),
        ("key_values", {"pairs": [5000, 5000]}, "4,900 words"),
        ("mixed", {"of": [{"name": "needle", "size": 3}, {"name": "needle"}]}, "size of the task"),
        ("key_values", {"queries": 0}, "queries=0"),
        ("key_values", {"depths": [1.5]}, "depth of 1.5"),
        ("needle", {"needles": 9, "sentences": [20, 30]}, "needles=9"),
        ("needle", {"sentences": [1, 30]}, "sentences"),
        ("needle", {"sentences": [40, 50], "decoys": 24}, "decoys=24"),
        ("mixed", {"of": [{"name": "needle"}]}, "two tasks"),
        ("mixed", {"of": [{"name": "needle"}, {"name": "gsm8k"}]}, "'gsm8k' is not generated"),
        ("mixed", {"of": [{"name": "needle"}, {"name": "needles"}]}, "needles"),
    ],
)
def test_what_cannot_be_is_refused(name, settings, told):
    with pytest.raises((UsageError, PartError), match=told):
        list(islice(bind("task", name, settings)("train"), 3))


def source(folder):
    import json

    rows = [
        {"id": str(n), "question": f"who is {n}", "answers": [f"Person {n}.", f"P{n}."], "gold_title": f"T{n}",
         "gold_text": f"It is Person {n}. Really."} for n in range(60)
    ]  # fmt: skip
    (folder / "lost_in_middle").mkdir()
    (folder / "lost_in_middle" / "nq_oracle.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return folder


def test_a_mixture_has_nothing_harder_where_one_of_its_tasks_has_not():
    of = ({"name": "key_values", "form": "letters", "pairs": [20, 26]}, {"name": "needle"})
    assert not list(mixed("ood", of=of, size=4)) and len(list(mixed("dev", of=of, size=4))) == 4


def test_a_mixture_of_one_task_twice_has_other_problems_each_time():
    found = list(mixed("train", of=({"name": "needle"}, {"name": "needle"}), size=10))
    assert len({e.id for e in found}) == len({e.prompt for e in found}) == 10
