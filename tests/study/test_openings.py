"""Every model that was scored on a test split is a look at it."""

import json

import pytest

from whit.study.openings import openings


@pytest.fixture
def score(tmp_path):
    """An evaluation in the store: of a model, on a task, a split."""
    keys = iter(range(100))

    def score(model, *, task="gsm8k", digest="", split="test", items=100):
        path = tmp_path / f"evaluate-{next(keys):016x}"
        path.mkdir()
        settings = {"task": task, "split": split, "items": items}
        facts = {"stage": "evaluate", "settings": settings, "inputs": {"model": model, "task": digest}}
        (path / "artifact.json").write_text(json.dumps({"facts": facts}))
        return path

    return score


def test_the_models_of_a_study_and_those_beside_it_are_counted_apart(score):
    own = [score("base"), score("sft-0"), score("sft-1")]
    assert openings(own) == (3, 0)
    score("tuned by hand")
    score("tuned by hand", items=50)  # the same model again tells nothing new
    score("another")
    assert openings(own) == (3, 2)


def test_a_model_that_was_asked_twice_is_one_look(score):
    assert openings([score("base"), score("base", items=50)]) == (1, 0)


def test_a_file_is_the_same_under_another_name_and_a_task_under_another_spelling(score):
    file, task = score("base", task="a.jsonl", digest="ab"), score("base")
    score("x", task={"name": "./copy.jsonl", "columns": "prompt=q"}, digest="ab")
    score("y", task={"name": "gsm8k"})
    assert openings([file]) == openings([task]) == (1, 1)


def test_scores_on_dev_look_at_no_test(score):
    assert openings([score("base", split="dev"), score("sft", split="dev")]) == (0, 0)


@pytest.mark.parametrize("other", [{"split": "dev"}, {"task": "svamp"}, {"digest": "ab"}])
def test_other_examples_are_no_look_at_these(other, score):
    own = [score("base")]
    score("x", **other)
    assert openings(own) == (1, 0)
