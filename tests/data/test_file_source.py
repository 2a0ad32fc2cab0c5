"""A user's file: columns are found or asked for, the verifier fits the answers, and errors name the row."""

import json

import pytest

from whit.core.errors import DataError, UsageError
from whit.data.sources.file import file
from whit.data.sources.hub import hub

SUMS = [{"prompt": f"What is {n} + {n}?", "answer": str(2 * n)} for n in range(60)]


@pytest.fixture
def save(tmp_path):
    def save(rows, name="rows.jsonl"):
        path = tmp_path / name
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
        return path

    return save


def every(splits):
    return [example for rows in splits.examples.values() for example in rows]


def by_row(splits):
    return sorted(every(splits), key=lambda example: example.metadata["row"])


def renamed(**names):
    return [{names.get(key, key): value for key, value in row.items()} for row in SUMS]


def test_a_csv_of_prompts_and_numbers_needs_no_settings(tmp_path):
    path = tmp_path / "sums.csv"
    path.write_text("prompt,answer,level\n" + "".join(f'"{r["prompt"]}","{r["answer"]}",easy\n' for r in SUMS))
    splits = file(path)
    one = by_row(splits)[3]
    assert (one.prompt, one.gold, one.verifier, one.answer_format) == ("What is 3 + 3?", "6", "exact_number", "boxed")
    assert one.metadata == {"row": 4, "level": "easy"}
    assert all(splits.examples.values())


def test_an_alias_is_taken_and_said(save):
    splits = file(save(renamed(prompt="Question", answer="target")))
    assert "prompt is read from the column 'Question'" in splits.notes
    assert "answer is read from the column 'target'" in splits.notes


@pytest.mark.parametrize("columns", ["prompt=q, answer=a", {"prompt": "q", "answer": "a"}])
def test_columns_can_be_named(save, columns):
    assert by_row(file(save(renamed(prompt="q", answer="a")), columns=columns))[1].gold == "2"


def test_labels_that_repeat_make_a_choice(save):
    rows = [{"text": f"review {n}", "label": ("Good", "bad")[n % 2]} for n in range(40)]
    one = by_row(file(save(rows)))[0]
    assert (one.verifier, one.choices, one.answer_format) == ("choice", ("Good", "bad"), "plain")
    assert one.instruction == "Write the final answer only. The answer is one of: Good, bad."


def test_labels_with_rationales_are_reasoned_about_first(save):
    rows = [{"text": f"review {n}", "label": ("good", "bad")[n % 2], "rationale": "Since ..."} for n in range(40)]
    one = by_row(file(save(rows)))[0]
    assert (one.verifier, one.answer_format, one.rationale) == ("choice", "boxed", "Since ...")


def test_other_answers_are_compared_as_text(save):
    rows = [{"prompt": f"Capital of country {n}?", "answer": f"City {n}"} for n in range(30)]
    splits = file(save(rows))
    assert by_row(splits)[0].verifier == "exact_text"
    assert any("the first is in row 1: 'City 0'" in note for note in splits.notes)


def test_what_is_not_compared_of_an_answer_is_said_once_with_an_example(save):
    answers = ["30x", "9 apples", "$1,080", "50%", "1 1/2"]
    rows = [{"prompt": f"What is {n} + {n}?", "answer": answer} for n, answer in enumerate(answers)]
    (warning,) = [note for note in file(save(rows)).notes if note.startswith("warning")]
    assert "2 answers hold more than a number" in warning and "in row 1, '30x' is 30." in warning
    assert not any(note.startswith("warning") for note in file(save(SUMS)).notes)


def test_the_verifier_and_the_format_can_be_chosen(save):
    one = by_row(file(save(SUMS), verifier="rewards.py:mine", answer_format="boxed"))[0]
    assert (one.verifier, one.answer_format) == ("rewards.py:mine", "boxed")


CODE = [
    {
        "prompt": f"Write double_{n}(x): x times {n}.", "answer": f"```python\ndef double_{n}(x):\n    return {n} * x\n```",
        "tests": [f"assert double_{n}(3) == {3 * n}"], "entry_point": f"double_{n}",
    }
    for n in range(12)
]  # fmt: skip


def test_programs_are_asked_for_in_a_block_and_not_in_a_box(save):
    one = by_row(file(save(CODE), verifier="python_tests"))[0]
    assert one.answer_format == "plain" and "one block that starts with ```python" in one.instruction
    assert one.metadata["tests"] == ["assert double_0(3) == 0"]
    boxed = by_row(file(save(CODE), verifier="python_tests", answer_format="boxed"))[0]
    assert (boxed.answer_format, boxed.instruction) == ("boxed", None)


def test_json_is_asked_for_alone_and_after_steps_in_a_box(save):
    rows = [
        {"prompt": f"An object with {n}.", "answer": f'{{"a": {n}}}', "schema": {"type": "object"}} for n in range(12)
    ]
    assert by_row(file(save(rows), verifier="json_schema"))[0].answer_format == "plain"
    worked = [{**row, "rationale": "Since ..."} for row in rows]
    assert by_row(file(save(worked), verifier="json_schema"))[0].answer_format == "boxed"


@pytest.mark.parametrize("tags", [["think", "answer"], "think, answer"])
def test_a_form_of_tags_is_asked_for_row_by_row(save, tags):
    rows = [{**row, "tags": tags if n % 2 else []} for n, row in enumerate(SUMS)]
    splits = file(save(rows), verifier="format")
    bare, tagged = by_row(splits)[:2]
    assert (bare.answer_format, bare.instruction) == ("boxed", None)
    assert tagged.instruction.startswith("Answer in the form <think>...</think><answer>...</answer> and")
    assert "answers are judged by 'format', with the answer format 'boxed' or 'plain'" in splits.notes


def test_a_worked_solution_loses_its_marker(save):
    one = by_row(file(save([{**row, "solution": f"Twice it.\n#### {row['answer']}"} for row in SUMS])))[0]
    assert one.rationale == "Twice it."


def test_answers_in_the_gsm8k_form_are_taken_apart(save):
    splits = file(save([{**row, "answer": f"Twice it.\n#### {row['answer']}"} for row in SUMS]))
    assert (by_row(splits)[3].gold, by_row(splits)[3].rationale) == ("6", "Twice it.")
    assert any("used as the rationale" in note for note in splits.notes)


def test_ids_do_not_depend_on_the_order_of_the_rows(save):
    one, other = file(save(SUMS, "a.jsonl")), file(save(SUMS[::-1], "b.jsonl"))
    assert {e.id: e.prompt for e in every(one)} == {e.id: e.prompt for e in every(other)}
    assert {e.id for e in one.examples["test"]} == {e.id for e in other.examples["test"]}


def test_an_id_column_is_used_when_all_ids_differ(save):
    assert by_row(file(save([{**row, "id": n} for n, row in enumerate(SUMS)])))[7].id == "7"
    same = file(save([{**row, "id": 7} for row in SUMS]))
    assert len({example.id for example in every(same)}) == 60


def test_a_split_column_is_respected(save):
    names = ["train"] * 40 + ["Validation"] * 10 + ["test"] * 10
    splits = file(save([{**row, "split": name} for row, name in zip(SUMS, names)]))
    assert {split: len(rows) for split, rows in splits.examples.items()} == {"train": 40, "dev": 10, "test": 10}


def test_groups_come_from_their_column(save):
    splits = file(save([{**row, "group": n % 12} for n, row in enumerate(SUMS)]))
    assert {e.group for e in every(splits)} == {str(n) for n in range(12)}


@pytest.mark.parametrize(
    ("rows", "settings", "message"),
    [
        (
            [{"promt": "a", "answer": "1"}],
            {},
            r"no column is called 'prompt', .*Did you mean 'promt'\? The columns are: p",
        ),
        (
            [{"prompt": "a", "x": "1"}],
            {},
            r"Say which is the answer: --columns answer=NAME \(in a recipe, task\.columns\)\.",
        ),
        (
            [{"text": "a", "question": "b", "answer": "1"}],
            {},
            r"Say which: --columns 'prompt=question' or 'prompt=text'",
        ),
        (
            [{"q": "a", "answer": "1"}],
            {"columns": "prompt=p"},
            r"no column 'p' for prompt\..* The columns are: q, answer",
        ),
        ([*SUMS, {"prompt": "a", "answer": " "}], {}, r"row 61: the answer \(column 'answer'\) is empty"),
        ([*SUMS, {"answer": "1"}], {}, r"row 61: the prompt \(column 'prompt'\) is empty"),
        ([{"prompt": ["a"], "answer": "1"}], {}, r"row 1: the prompt \(column 'prompt'\) is a list; text is needed"),
        (
            [{**row, "split": "trian"} for row in SUMS],
            {},
            r"row 1: the split 'trian' is not known\. Use train, dev and test",
        ),
        (
            [*SUMS, {"prompt": "a", "answer": "six"}],
            {"verifier": "exact_number"},
            r"row 61: the answer 'six' is not a num",
        ),
        ([{**row, "split": s} for row in SUMS for s in ("train", "test")], {}, r"row 1 \(train\) and row 2 \(test\)"),
    ],
)
def test_what_cannot_be_used_is_named(save, rows, settings, message):
    path = save(rows)
    with pytest.raises(DataError, match=message) as caught:
        file(path, **settings)
    assert str(path) in str(caught.value) or "row 1 (train)" in str(caught.value)


@pytest.mark.parametrize("columns", ["prompt", "promt=q"])
def test_columns_that_are_not_understood(save, columns):
    with pytest.raises(UsageError, match=r"Write \"prompt=question|Did you mean 'prompt'"):
        file(save(SUMS), columns=columns)


@pytest.mark.slow  # 4 s: imports datasets
def test_a_hub_data_set_is_read_with_its_splits(tmp_path, monkeypatch):
    datasets = pytest.importorskip("datasets")
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    for split, rows in {"train": SUMS[:40], "validation": SUMS[40:50], "test": SUMS[50:], "extra": SUMS[:3]}.items():
        (tmp_path / f"{split}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    splits = hub(str(tmp_path))  # a local folder is read as a data set of the hub is
    assert {split: len(rows) for split, rows in splits.examples.items()} == {"train": 40, "dev": 10, "test": 10}
    assert by_row(splits)[0].verifier == "exact_number"


@pytest.mark.slow  # 1 s: imports datasets
def test_an_unreachable_hub_is_not_asked_again_and_again(monkeypatch):
    datasets = pytest.importorskip("datasets")
    monkeypatch.setattr(
        "huggingface_hub.HfApi.dataset_info", lambda *_, **__: (_ for _ in ()).throw(OSError("no route"))
    )
    offline = []
    monkeypatch.setattr(
        datasets, "load_dataset", lambda *_, **__: offline.append(datasets.config.HF_HUB_OFFLINE) or 1 / 0
    )
    with pytest.raises(DataError, match="no network, and not in the cache"):
        hub("somebody/sums")
    assert offline == [True] and not datasets.config.HF_HUB_OFFLINE


@pytest.mark.slow  # 1 s: imports datasets
def test_a_hub_data_set_that_cannot_be_read_says_what_to_do(tmp_path):
    pytest.importorskip("datasets")
    with pytest.raises(DataError, match=r"cannot be read from the hub: .*give it as a file"):
        hub(str(tmp_path / "nothing"))
