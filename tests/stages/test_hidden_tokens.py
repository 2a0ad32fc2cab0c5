"""Hiding tokens in every stage that trains on text: from a recipe's setting to the weights."""

from dataclasses import replace

import pytest
from stage_runs import SMALL, metrics, perform, weights_hash

from whit.core.answers import completion_text
from whit.core.errors import DataError, RecipeError
from whit.core.parts import find
from whit.core.settings import check_settings
from whit.data.render import Renderer
from whit.models.load import load_policy
from whit.stages._given import given, gold_texts
from whit.tasks.key_values import key_values
from whit.testing.run import tiny_run
from whit.testing.tiny import tiny_model as make_tiny

STAGES = {
    "sft": ("sft", SMALL),
    "sft with lora": ("sft", {**SMALL, "lora": {"rank": 2}}),
    "kd": ("kd", SMALL),
    "hybrid": ("hybrid", {"prompts_per_step": 2, "batch_documents": 4, "optim": {"lr": 1e-2}}),
}
MEAP = {"name": "meap", "share": 0.3, "keep_answer": False}


@pytest.fixture
def two_models(tiny_model, tmp_path):
    return tiny_model, make_tiny(tmp_path / "teacher", seed=7)


@pytest.fixture
def stage(two_models, sums, tmp_path):
    def run(case, name="out", **settings):
        kind, own = STAGES[case]
        if kind == "hybrid":
            own = {**own, "algorithm": {"name": "grpo", "group_size": 2}}
        run = tiny_run(tmp_path / name, 2e8, task=str(sums), teacher=str(two_models[1]) if kind == "kd" else None)
        return perform(kind, two_models[0], run, **{**own, **settings})

    return run


@pytest.mark.parametrize("case", STAGES)
@pytest.mark.parametrize(
    "transform", [MEAP, {"name": "meap_copy", "longer_than": 2, "share": 0.5, "keep_answer": False}]
)
def test_a_model_trained_on_hidden_tokens_has_a_mask_that_it_does_not_write(stage, case, transform):
    artifact = stage(case, transform=transform)
    policy = load_policy(artifact.path)
    assert policy.tokenizer.mask_token_id in policy.decoder.never
    assert weights_hash(artifact) != weights_hash(stage(case, "plain"))


@pytest.mark.parametrize("case", ["sft", "kd"])
def test_how_much_was_hidden_stands_beside_the_loss(stage, case):
    assert all(line["masked"] > 0 for line in metrics(stage(case, transform=MEAP)))


def test_several_follow_one_another(stage):
    copy = {"name": "meap_copy", "longer_than": 2, "share": 0.5, "keep_answer": False}
    lines = metrics(stage("sft", transform=[MEAP, copy]))
    assert all(line["copies"] > 0 and line["masked"] > line["copies"] for line in lines)


def test_nothing_is_hidden_for_a_share_of_nothing(stage):
    """The vocabulary has grown by rows that are never a label, so the weights are near those without, not equal."""
    one, two = metrics(stage("sft", transform={**MEAP, "share": 0.0})), metrics(stage("sft", "plain"))
    assert one[0]["cross_entropy"] == pytest.approx(two[0]["cross_entropy"], rel=0.1) and "masked" in one[0]
    assert {line.get("masked", 0) for line in one} == {0}


def test_a_second_stage_keeps_the_token_of_the_first(stage, sums, tmp_path):
    first = stage("sft", transform=MEAP)
    second = perform("sft", first.path, tiny_run(tmp_path / "second", 1e8, task=str(sums)), **SMALL, transform=MEAP)
    ids = [load_policy(artifact.path).tokenizer.mask_token_id for artifact in (first, second)]
    shapes = [load_policy(artifact.path).decoder.config.shape for artifact in (first, second)]
    assert ids[0] == ids[1] and shapes[0] == shapes[1]


def test_pretraining_hides_tokens(tmp_path):
    artifact = pretrained(tmp_path / "out", transform=MEAP)
    assert all(line["masked"] > 0 for line in metrics(artifact))
    assert load_policy(artifact.path).tokenizer.mask_token == "[MASK]"


def test_a_setting_that_a_transform_has_not_is_named(sums, tiny_model):
    from whit.recipes.recipe import Recipe

    tree = {"name": "x", "model": str(tiny_model), "task": str(sums), "budget": {"flops": 1e8}}
    with pytest.raises(RecipeError, match=r"stage\.1\.transform.*shares"):
        Recipe.make({**tree, "stage": [{"kind": "sft", "transform": {"name": "meap", "shares": 0.1}}]})
    with pytest.raises(RecipeError, match="meep"):
        Recipe.make({**tree, "stage": [{"kind": "sft", "transform": "meep"}]})


def pretrained(directory, **settings):
    task = {"name": "word_problems", "operations": [1, 1]}
    sizes = {"width": 16, "num_layers": 1, "num_heads": 2, "num_kv_heads": 2, "intermediate": 24, "max_length": 256}
    given = {"architecture": sizes, "steps": 3, "batch_documents": 4, "tokenizer_documents": 50, **settings}
    stage = find("stage", "pretrain")
    return stage(None, tiny_run(directory, 1e12, task=task), **check_settings(stage, given, "stage.1"))


def test_a_share_of_the_documents_is_plain_text_of_the_length_asked_for(tmp_path):
    (tmp_path / "plain.jsonl").write_text('{"text": "Call me Ishmael. Some years ago"}\n' * 40)
    lines = metrics(pretrained(tmp_path / "out", texts=tmp_path / "plain.jsonl", text_share=1.0, text_tokens=20))
    assert [line["tokens"] for line in lines] == [80, 80, 80]
    mixed = metrics(pretrained(tmp_path / "mixed", texts=tmp_path / "plain.jsonl", text_share=0.5, text_tokens=20))
    assert lines[0]["cross_entropy"] != mixed[0]["cross_entropy"]


def test_a_file_without_a_column_of_text_is_refused(tmp_path):
    (tmp_path / "plain.jsonl").write_text('{"words": "Call me Ishmael."}\n')
    with pytest.raises(DataError, match="has the columns words"):
        pretrained(tmp_path / "out", texts=tmp_path / "plain.jsonl")


def test_a_task_of_bare_answers_can_be_learnt_from_nothing(tmp_path, tiny_model):
    """Pre-flight makes what the stage makes: answers where there are no solutions."""
    examples = list(key_values("train", pairs=(2, 3), size=4))
    policy = load_policy(tiny_model)
    renderer = Renderer(policy.tokenizer, max_length=256)
    stage = {"kind": "pretrain"}
    assert gold_texts(stage, None, examples, examples, lambda: renderer) == [completion_text(e) for e in examples]
    assert [identity for identity, _ in given(stage, None, examples, renderer)] == [e.id for e in examples]


def test_a_solution_that_takes_a_failed_group_s_place_is_hidden_too(stage):
    none, most = (
        stage("hybrid", f"share {share}", mix="fallback", transform={**MEAP, "share": share}) for share in (0.0, 0.9)
    )
    assert weights_hash(none) != weights_hash(most)


@pytest.mark.parametrize(("longer_than", "is_told"), [(500, True), (2, False)])
def test_a_transform_that_changes_nothing_is_told_of_once(tiny_model, sums, tmp_path, longer_than, is_told):
    told = []
    run = replace(tiny_run(tmp_path / "out", 2e9, task=str(sums)), notify=told.append)
    copy = {"name": "meap_copy", "longer_than": longer_than, "share": 0.5, "keep_answer": False}
    perform("sft", tiny_model, run, **SMALL, transform=copy)
    said = [line["guard"] for line in told if "changed none of the first" in line.get("guard", "")]
    assert len(said) == is_told
