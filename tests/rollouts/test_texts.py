"""A file of what a model wrote: every text with its verdict, and a killed run goes on where it was."""

import fcntl
import json

import pytest

from whit.core.errors import DataError
from whit.core.ledger import Ledger
from whit.core.types import Example
from whit.data.render import Renderer
from whit.generation.engine import Engine
from whit.generation.sampler import Sampling
from whit.models.load import load_policy
from whit.prompting.zero_shot import zero_shot
from whit.rollouts import texts
from whit.rollouts.texts import write_texts

EXAMPLES = [Example(f"e{n}", f"{n} + {n}?", str(2 * n)) for n in range(6)]


@pytest.fixture
def write(tiny_model, tmp_path, monkeypatch):
    """Texts of some examples, written two examples at a time; the file is `file`, `asked` counts the prompts."""
    monkeypatch.setattr(texts, "ROUND", 2)
    policy = load_policy(tiny_model)
    renderer = Renderer(policy.tokenizer, max_length=256)
    engine = Engine(policy.decoder, renderer.stop_ids)

    def write(examples=EXAMPLES, **change):
        settings = {"made_by": {"model": "tiny"}, "num_samples": 2, "seed": 0, "ledger": Ledger(), **change}
        sampling = Sampling(temperature=settings.pop("temperature", 1.0), max_new_tokens=6)
        return write_texts(
            write.file, examples, engine, renderer, zero_shot, sampling=sampling, notify=lambda done: None, **settings
        )

    write.file = tmp_path / "texts.jsonl"
    return write


def test_every_completion_is_a_row_with_its_verdict(write):
    rows = write()
    assert [row["id"] for row in rows] == [e.id for e in EXAMPLES for _ in range(2)]
    assert [json.loads(line) for line in write.file.read_text().splitlines()] == rows
    for row in rows:
        assert row["prompt"] == f"{row['id'][1:]} + {row['id'][1:]}?"
        assert 1 <= row["tokens"] <= 6 and (row["finish"] == "length") == (row["tokens"] == 6)
        assert row["strict"] <= row["correct"]


def test_a_killed_run_goes_on_and_writes_the_same_texts(write, tmp_path):
    whole = write()
    lines = write.file.read_text().splitlines(keepends=True)
    write.file = tmp_path / "killed.jsonl"
    write.file.write_text("".join(lines[:5]) + lines[5][:20])  # an example of which one row is whole, the other cut
    ledger = Ledger()
    assert write(ledger=ledger) == whole
    assert write.file.read_text() == "".join(lines)
    again = Ledger()
    assert write(ledger=again) == whole
    assert ledger.flops > 0 and again.flops == 0


def test_rows_say_what_they_cost(write):
    ledger = Ledger()
    rows = write(ledger=ledger)
    assert sum(row["flops"] for row in rows) == pytest.approx(ledger.flops)


def test_another_problem_under_a_known_id_is_asked_and_only_what_was_wanted_comes_back(write):
    write()
    other = [Example("e0", "7 + 8?", "15")]
    assert [row["prompt"] for row in write(other)] == ["7 + 8?"] * 2
    assert len(write.file.read_text().splitlines()) == 2 * (len(EXAMPLES) + 1)
    assert len(write(EXAMPLES[:2])) == 4


@pytest.mark.parametrize(
    "change", [{"made_by": {"model": "other"}}, {"seed": 1}, {"temperature": 0.5}, {"num_samples": 3}]
)
def test_texts_made_in_different_ways_do_not_stand_in_one_file(change, write):
    write(EXAMPLES[:1])
    before = write.file.read_bytes()
    with pytest.raises(DataError, match=r"texts.jsonl, row 1 was made with \w+ \S+, and now it is"):
        write(**change)
    assert write.file.read_bytes() == before


@pytest.mark.parametrize("content", ['{"prompt": "a", "answer": "1"}', "prompt,answer\n1 + 1,2\n", "a,b", "{}\n{}"])
def test_a_file_of_something_else_is_left_as_it_is(content, write):
    write.file.write_text(content)
    with pytest.raises(DataError, match="name another file"):
        write()
    assert write.file.read_text() == content


def test_two_processes_do_not_write_one_file(write):
    write(EXAMPLES[:1])
    with write.file.open() as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        with pytest.raises(DataError, match="another process is writing this file"):
            write()
