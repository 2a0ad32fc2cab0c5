"""Our scores against lm-evaluation-harness on the same items: its own prompts, generation and extraction.

Runs where the package lm_eval is installed (pip install 'whit[parity]').
"""

from dataclasses import replace

import pytest

from whit.evaluation.evaluate import evaluate
from whit.models.load import load_policy, resolve_model
from whit.prompting.zero_shot import zero_shot
from whit.stages._score import choose_items
from whit.stages._task import load_task

pytest.importorskip("lm_eval", reason="lm_eval is not installed: the peer of the parity test", exc_type=ImportError)
ITEMS = 60


@pytest.mark.slow
@pytest.mark.parametrize("answer_format", ["hash", "boxed"])  # the model writes "####", whatever is asked for
def test_every_item_has_the_text_and_the_verdicts_of_lm_evaluation_harness(answer_format, monkeypatch):
    from whit.data.render import Renderer
    from whit.testing.harness import harness

    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    model = resolve_model("micro-base")
    examples = [
        replace(example, answer_format=answer_format, instruction="")
        for example in choose_items(load_task("word_problems").take("test"), ITEMS)
    ]
    policy = load_policy(model)
    renderer = Renderer(policy.tokenizer, max_length=policy.decoder.config.max_length, more_stops=policy.stop_ids)
    ours = evaluate(policy, renderer, examples, zero_shot, max_new_tokens=80, num_samples=0).records
    theirs = harness(model, examples, max_new_tokens=80)
    assert [record["completion"].strip() for record in ours] == [judged.text.strip() for judged in theirs]
    assert [record["strict"] for record in ours] == [judged.strict for judged in theirs]
    assert [record["correct"] for record in ours] == [judged.flexible for judged in theirs]
    assert 3 < sum(judged.flexible for judged in theirs) < ITEMS - 3  # not the same verdict for all
    assert any(judged.strict for judged in theirs) == (answer_format == "hash")
