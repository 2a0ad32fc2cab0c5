"""Four ways on the same items: what each costs, and what no push and no example have in common."""

from dataclasses import replace

import pytest
import torch

from whit.analysis import in_context
from whit.analysis.in_context import compare_in_context
from whit.core.errors import DataError
from whit.core.types import Example
from whit.data.render import Renderer
from whit.generation.engine import Engine
from whit.models.load import load_policy
from whit.prompting.retrieved import retrieved
from whit.spaces.retrieval import Vectors
from whit.testing.tiny import tiny_model

LABELS = ("fruit", "tool")
WORDS = {"fruit": ("apple", "pear", "plum", "fig"), "tool": ("saw", "axe", "file", "drill")}


def examples(count, start=0):
    return [
        Example(f"e{n}", f"I have a {WORDS[LABELS[n % 2]][n // 2 % 4]} {n}.", LABELS[n % 2], verifier="choice",
                choices=LABELS, answer_format="plain", instruction="Is it fruit or tool?")
        for n in range(start, start + count)
    ]  # fmt: skip


@pytest.fixture
def compare(tmp_path):
    policy = load_policy(tiny_model(tmp_path / "tiny", seed=3))
    renderer = Renderer(policy.tokenizer, max_length=256)

    def compare(bank=None, items=None, **settings):
        return compare_in_context(
            policy,
            renderer,
            bank or examples(12),
            examples(6, start=20) if items is None else items,
            shots=2,
            contexts=4,
            max_new_tokens=4,
            **settings,
        )

    return compare


@pytest.mark.parametrize("settings", [{}, {"retrieval": "bm25"}, {"pairs": "examples"}])
def test_every_way_is_judged_on_every_item_and_only_texts_lengthen_prompts(compare, settings):
    found = compare(**settings)
    rows = {row.name: row for row in found.rows}
    assert tuple(rows) == ("zero-shot", "texts", "ic-icl", "random") and all(len(row.right) == 6 for row in found.rows)
    assert rows["texts"].prompt_tokens > rows["zero-shot"].prompt_tokens == rows["ic-icl"].prompt_tokens
    assert len(found.profile) == 2 and set(found.layers) <= {0, 1}


def test_a_push_of_no_strength_is_zero_shot(compare):
    rows = {row.name: row for row in compare(strengths=(0.0,)).rows}
    assert rows["ic-icl"].right == rows["random"].right == rows["zero-shot"].right
    assert rows["ic-icl"].accuracy == rows["zero-shot"].accuracy


def test_each_of_several_strengths_has_its_rows(compare):
    names = [row.name for row in compare(strengths=(0.0, 0.5)).rows]
    assert names == ["zero-shot", "texts", "ic-icl 0", "random 0", "ic-icl 0.5", "random 0.5"]


def test_a_label_that_the_bank_has_not_is_named(compare):
    with pytest.raises(DataError, match="no example of tool"):
        compare(bank=[e for e in examples(12) if e.gold == "fruit"])


def test_the_nearest_example_stands_last_and_the_instruction_once():
    (item, *shots) = examples(3)
    messages = retrieved(item, {item.id: shots})
    assert [m.content for m in messages[:-1:2]] == [shots[1].prompt, shots[0].prompt]
    assert [m.content for m in messages[1::2]] == [shots[1].gold, shots[0].gold]
    assert sum("fruit or tool" in m.content for m in messages) == 1


def test_a_push_of_no_strength_costs_plain_text_nothing_and_a_strong_one_something(compare):
    rows = {row.name: row.bits_per_byte for row in compare(strengths=(0.0, 4.0)).rows}
    assert rows["ic-icl 0"] == rows["random 0"] == rows["zero-shot"] == rows["texts"]
    assert abs(rows["random 4"] - rows["zero-shot"]) > 1e-3


def test_a_push_and_its_control_point_elsewhere_and_the_layers_are_those_that_are_named(compare):
    pushed = {
        layer: {row.name: row.bits_per_byte for row in compare(strengths=(4.0,), layers=[layer]).rows}
        for layer in (0, 1)
    }
    assert abs(pushed[0]["ic-icl"] - pushed[0]["random"]) > 1e-3
    assert abs(pushed[0]["ic-icl"] - pushed[1]["ic-icl"]) > 1e-3


def test_what_an_encoder_writes_is_not_centred_and_states_are(compare, monkeypatch):
    asked = []
    monkeypatch.setattr(in_context, "Vectors", lambda bank, **kind: asked.append(kind) or Vectors(bank, **kind))
    compare(encoder=lambda texts: torch.ones(len(texts), 2))
    compare()
    assert asked == [{"centred": False}, {"centred": True}]


def test_each_prompt_that_fits_keeps_its_own_push(compare, monkeypatch):
    """The first item is too long to be asked: the push of the second is the first that the engine gets."""
    pushes = []
    real = Engine.generate

    def generate(self, prompts, sampling, **rest):
        if (steering := rest["steering"]) is not None and len(prompts) > 1:
            pushes.append(steering.vectors_PSD)
        return real(self, prompts, sampling, **rest)

    monkeypatch.setattr(Engine, "generate", generate)
    items = examples(6, start=20)
    compare(items=items)
    whole = pushes[0]
    pushes.clear()
    compare(items=[replace(items[0], prompt=items[0].prompt + " and more" * 30), *items[1:]])
    torch.testing.assert_close(pushes[0], whole[1:])


def test_an_encoder_tells_what_is_near_in_the_place_of_states(compare):
    def knows(texts):
        return torch.tensor(
            [[1.0, 0.0] if any(word in text for word in WORDS["fruit"]) else [0.0, 1.0] for text in texts]
        )

    assert compare(encoder=knows).vote == 1.0


def test_items_that_no_interval_can_be_made_of_are_refused_before_any_way_runs(compare):
    said: list[str] = []
    one_group = [replace(example, group="same") for example in examples(4, start=20)]
    for items in (one_group, examples(1), []):
        with pytest.raises(DataError, match="two groups or more"):
            compare(items=items, notify=said.append)
    assert not said


def test_a_prompt_that_its_examples_make_too_long_is_a_wrong_answer_and_counted(compare):
    items = examples(6, start=20)
    items[2] = replace(items[2], prompt=items[2].prompt + " and more" * 24)
    rows = {row.name: row for row in compare(items=items).rows}
    assert {name: row.too_long for name, row in rows.items()} == {"zero-shot": 0, "texts": 1, "ic-icl": 0, "random": 0}
    assert len(rows["texts"].right) == 6 and not rows["texts"].right[2]


def test_where_no_prompt_of_a_way_fits_the_way_is_named(compare):
    with pytest.raises(DataError, match="texts: no prompt fits"):
        compare(items=[replace(item, prompt=item.prompt + " and more" * 24) for item in examples(6, start=20)])
