"""Every check accepts a sound recipe, and names the fault that it is there for when that is put in on purpose."""

import inspect
import json
import re
from dataclasses import replace

import pytest
import torch

from whit.core.parts import find, inputs, names, options
from whit.core.types import Artifact, Group, Rollout, Segment, Verdict
from whit.preflight._types import SUPPLIES
from whit.prompting.zero_shot import zero_shot
from whit.stages._supplies import Supplies

CHECKS = names("check")
SFT, RL = {"kind": "sft", "source": "rationales", "end_of_turn": True}, {"kind": "rl", "reward": "accuracy"}
KD = {"kind": "kd", "text": None, "on_policy": 0.0, "terms": [{"objective": "forward_kl"}]}


@pytest.fixture
def supplies(tiny_model, sums):
    def supplies(stage=SFT, *, model=tiny_model, task=sums, **more):
        given = {"teacher": None, "dtype": "float32", "device": "cpu", "template": None, "max_new_tokens": 32, **more}
        return Supplies(Artifact(model, "tiny"), str(task), stage, **given)

    return supplies


def check(name, supplies, **limits):
    part = find("check", name)
    return part(*(getattr(supplies, supply) for supply in inputs(part)), **limits)


def message(name, supplies, **limits):
    """What a check that should fail says."""
    finding = check(name, supplies, **limits)
    assert finding.status == "failed" and finding.remedy
    return finding.message


# Every check.


@pytest.mark.parametrize("name", CHECKS)
def test_it_asks_for_what_there_is_and_its_limits_have_defaults(name):
    part = find("check", name)
    assert set(inputs(part)) <= SUPPLIES.keys()
    assert inspect.getdoc(part)
    assert all(limit.default is not inspect.Parameter.empty for limit in options(part).values())


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("name", CHECKS)
def test_a_sound_recipe_passes(name, dtype, supplies, tiny_model):
    stage = KD if name == "vocabulary" else RL if "groups" in inputs(find("check", name)) else SFT
    sound = supplies(stage, dtype=dtype, teacher=str(tiny_model))
    finding = check(name, sound, **({"least": 0.0} if name == "signal" else {}))  # random weights solve nothing
    assert finding.status == "ok", finding
    assert finding.message and not finding.remedy


@pytest.mark.parametrize("name", CHECKS)
def test_it_leaves_the_models_as_they_were(name, supplies, tiny_model):
    sound = supplies(KD if name == "vocabulary" else RL, teacher=str(tiny_model), dtype="bfloat16")
    before = [p.clone() for p in (*sound.policy.decoder.parameters(), *sound.working.decoder.parameters())]
    check(name, sound)
    after = [*sound.policy.decoder.parameters(), *sound.working.decoder.parameters()]
    assert all(torch.equal(a, b) for a, b in zip(before, after, strict=True))
    assert all(p.requires_grad and p.grad is None for p in after)


# One fault at a time.


def test_a_document_without_supervised_tokens(supplies):
    broken = supplies()
    broken.documents[3] = replace(broken.documents[3], spans=())
    assert "1 documents have none" in message("supervised_tokens", broken)


def test_a_document_supervised_as_a_whole(supplies):
    broken = supplies()
    broken.documents = [replace(d, spans=((1, len(d.ids)),)) for d in broken.documents]
    assert "the prompt too" in message("supervised_tokens", broken)


def test_the_end_of_the_turn_is_not_supervised(supplies):
    assert "40 of 40 documents do not end with a supervised stop token" in message(
        "stop_tokens", supplies({**SFT, "end_of_turn": False})
    )


def test_the_padding_token_is_the_end_of_the_turn(supplies):
    broken = supplies()
    broken.policy.tokenizer.pad_token_id = broken.renderer.end_of_turn
    assert "It is the padding token too" in check("stop_tokens", broken).message


def test_template_and_generation_config_stop_at_different_tokens(supplies):
    broken = supplies()
    broken.policy.stop_ids = (1,)
    assert broken.renderer.end_of_turn != 1
    finding = check("stop_tokens", broken)
    assert finding.status == "warning" and "generation_config.json stops at" in finding.message


def test_gold_completions_longer_than_completions_may_be(supplies):
    assert "40 of 40 gold completions pass 8 tokens" in message("truncation", supplies(max_new_tokens=8))
    bare = supplies({**SFT, "source": "answers"}, max_new_tokens=10)
    assert max(map(len, bare.gold)) < min(map(len, supplies().gold))  # rationales that nobody trains on do not count
    remedy = check("truncation", supplies(max_new_tokens=8)).remedy
    assert re.match(r"Set max_new_tokens=\d+, leave long examples out, or take a model with a longer context\.", remedy)
    assert check("truncation", supplies({**SFT, "source": "answers"}, max_new_tokens=20)).status == "ok"


def test_never_more_tokens_are_advised_than_the_context_leaves(supplies):
    short = supplies(max_new_tokens=8)
    prompts = [len(short.renderer.prompt(zero_shot(example))) for example in short.examples]
    short.renderer.max_length = max(prompts) + max(len(short.renderer.completion(text)) for text in short.gold)
    remedy = check("truncation", short).remedy
    assert int(re.search(r"max_new_tokens=(\d+), leave", remedy)[1]) <= short.renderer.max_length - min(prompts)


def test_prompts_longer_than_the_context(supplies):
    broken = supplies()
    broken.renderer.max_length = 16
    assert "40 do not fit the context of 16 with their prompt" in message("truncation", broken)
    assert "40 prompts are kept whole and leave less than that of the context of 16" in message("truncation", broken)
    assert check("truncation", broken).remedy == "Leave long examples out, or take a model with a longer context."


def test_attention_that_leaks_between_packed_documents(supplies, monkeypatch):
    from whit.models.attention import Packed

    monkeypatch.setattr(
        "whit.preflight.packing.Packed", lambda lengths, device, prefixes: Packed((sum(lengths),), device)
    )
    assert "packed documents are within" in message("packing", supplies())


def test_a_loss_that_is_normalised_by_micro_batches(supplies, monkeypatch):
    from whit.training.loop import step_gradient

    def mean_of_means(forward, terms, documents, optimizer, progress, max_tokens, device):
        cut = [documents] if max_tokens > 1000 else [[document] for document in documents]
        for part in cut:  # each with denominators of its own
            step_gradient(forward, terms, part, optimizer, progress, max_tokens, device)
        for master in optimizer.masters:
            if master.grad is not None:
                master.grad /= len(cut)

    monkeypatch.setattr("whit.preflight.micro_batches.step_gradient", mean_of_means)
    assert "differ by" in message("micro_batches", supplies())


def test_a_verifier_that_raises(supplies, tmp_path, sums):
    (tmp_path / "reward.py").write_text(
        "def broken(completions, answer, **more):\n    raise KeyError('ground_truth')\n"
    )
    task = {"name": str(sums), "verifier": f"{tmp_path / 'reward.py'}:broken"}
    broken = supplies()
    broken.task = task
    said = message("verifiers", broken)
    assert "the verifier raises for 40 of 40 examples" in said and said.count("KeyError: 'ground_truth'") == 1


def test_a_verifier_that_takes_silence(supplies, monkeypatch):
    broken = supplies()
    assert broken.examples
    monkeypatch.setattr("whit.preflight.verifiers.judge", lambda text, example: Verdict(True))
    assert "takes an empty completion for 40 of 40" in message("verifiers", broken)


@pytest.mark.parametrize(("value", "status"), [("1.0", "warning"), ("0.5 * bool(c)", "ok")])
def test_a_reward_function_may_score_anything_that_tells_gold_from_nothing(value, status, supplies, tmp_path, sums):
    (tmp_path / "reward.py").write_text(f"def kind(completions, **more):\n    return [{value} for c in completions]\n")
    given = supplies()
    given.task = {"name": str(sums), "verifier": f"{tmp_path / 'reward.py'}:kind"}
    assert check("verifiers", given).status == status


def test_gold_that_its_verifier_refuses(supplies):
    broken = supplies()
    broken.examples = [replace(example, gold="seven") for example in broken.examples]
    assert "the verifier refuses gold for 40 of 40 examples" in message("verifiers", broken)


def group(*rewards):
    rollout = [Rollout((Segment((1,), "prompt"), Segment((2,), "policy", (-1.0,))), "", "stop", Verdict(r > 0, "ok"), r)
               for r in rewards]  # fmt: skip
    return Group(None, tuple(rollout))


def test_groups_that_are_all_wrong_or_all_right(supplies):
    signal = find("check", "signal")
    hard = signal([group(0.0, 0.0)] * 48 + [group(0.0, 1.0)] * 2, 2)
    assert (hard.status, hard.remedy) == ("warning", "run SFT first, or take easier problems.")
    assert hard.message.startswith("RL would learn from 4.0 % [1.1, 13.5] of groups of 2 (50 prompts x 2 samples, 2 %")
    easy = signal([group(1.0, 1.0)] * 50, 2)
    assert (easy.status, easy.remedy) == ("warning", "the task is solved: take harder problems.")
    assert signal([group(0.0, 1.0)] * 10, 2).status == "ok"


@pytest.mark.parametrize("size", [1, 2])
def test_a_reward_that_does_not_tell_right_from_wrong_is_named_first(size):
    same = [replace(group(1.0, 0.0), rollouts=tuple(replace(r, reward=0.5) for r in group(1.0, 0.0).rollouts))] * 5
    found = find("check", "signal")(same, size)
    assert (found.status, found.remedy) == ("warning", "mend the reward: it does not tell right from wrong.")
    assert (
        found.message == "the reward is 0.5 for every completion, and 50 % of 10 are correct: RL would learn from none"
    )


def test_single_completions_are_compared_with_the_batch():
    signal = find("check", "signal")
    assert signal([group(0.0, 1.0)] * 10, 1).status == "ok"
    hopeless = signal([group(0.0, 0.0)] * 10, 1)
    assert hopeless.status == "warning" and "another reward than 0" in hopeless.message


def test_the_share_of_groups_with_signal_is_that_of_the_groups_size():
    """Of 8 samples 2 right: a pair differs in 1 - (1 + 15) / 28 of the draws; 16 with replacement nearly always."""
    groups = [group(*[1.0] * 2, *[0.0] * 6)] * 20
    assert "42.9 %" in find("check", "signal")(groups, 2).message
    assert "100.0 %" in find("check", "signal")(groups, 8).message
    assert "99.0 %" in find("check", "signal")(groups, 16).message


def test_a_sampler_of_other_weights_than_the_trainers(supplies):
    broken = supplies(RL)
    assert broken.groups
    with torch.no_grad():
        for parameter in broken.working.decoder.parameters():
            parameter.mul_(1.5)
    assert "sampler and trainer differ by" in message("logprobs", broken)


@pytest.mark.parametrize("temperature", [0.5, 0.9, 2.0])
def test_a_sampler_at_another_temperature_is_compared_at_that_temperature(supplies, temperature):
    stage = {**RL, "sampling": {"temperature": temperature}}
    assert check("logprobs", supplies(stage)).status == "ok"
    assert check("logprobs", supplies(stage), max_difference=1e-3).status == "ok"


def test_a_gap_that_is_no_number_is_a_failure(supplies, monkeypatch):
    monkeypatch.setattr("whit.preflight.update._distance", lambda *_: float("nan"))
    assert "nan nats" in message("update", supplies())


def test_examples_that_do_not_fit_are_left_out_of_the_documents(supplies):
    long = supplies(RL)
    long.examples[0] = replace(long.examples[0], prompt="long " * 500)
    assert len(long.documents) == 39


def test_a_teacher_of_texts_or_of_another_loss_has_no_vocabulary_to_compare(supplies, tiny_model):
    asked = {**KD, "terms": [{"objective": "cross_entropy"}]}
    assert supplies(asked, teacher=str(tiny_model)).teacher_vocab is None
    assert supplies(KD, teacher=str(tiny_model)).teacher_vocab


def test_a_teacher_with_another_tokenizer(supplies, tiny_model, tmp_path):
    import shutil

    teacher = tmp_path / "teacher"
    shutil.copytree(tiny_model, teacher)
    tokenizer = json.loads((teacher / "tokenizer.json").read_text())
    vocab = tokenizer["model"]["vocab"]
    one, other = sorted(vocab, key=vocab.get)[5:7]
    vocab[one], vocab[other] = vocab[other], vocab[one]
    (teacher / "tokenizer.json").write_text(json.dumps(tokenizer))
    assert "2 are another token or none in the teacher" in message("vocabulary", supplies(KD, teacher=str(teacher)))


def test_masters_that_lose_small_updates(supplies, monkeypatch):
    from whit.training.optim import Optimizer

    class Rounded(Optimizer):
        """bf16 weights stepped in bf16, as without float32 masters."""

        def step(self, progress):
            result = super().step(progress)
            with torch.no_grad():
                for master in self.masters:
                    master.copy_(master.bfloat16())
            return result

    monkeypatch.setattr("whit.preflight.update.Optimizer", Rounded)
    broken = supplies({**SFT, "optim": {"lr": 1e-6}}, dtype="bfloat16")
    assert "a step at rate 1e-06 moves" in message("update", broken)
    monkeypatch.undo()
    assert check("update", supplies({**SFT, "optim": {"lr": 1e-6}}, dtype="bfloat16")).status == "ok"


def test_a_sampler_that_does_not_see_the_update(supplies, monkeypatch):
    from copy import deepcopy

    from whit.generation.engine import Engine

    broken = supplies()
    stale = deepcopy(broken.working.decoder)
    monkeypatch.setattr("whit.preflight.update.Engine", lambda _, *args, **named: Engine(stale, *args, **named))
    assert "nats from the trainer's" in message("update", broken)


def test_a_head_that_is_untied_on_the_way_out(supplies, monkeypatch):
    broken = supplies()
    save = type(broken.policy).save

    def untie(policy, directory, dtype=None):
        from safetensors.torch import load_file, save_file

        save(policy, directory, dtype)
        config = json.loads((directory / "config.json").read_text())
        config["tie_word_embeddings"] = not config["tie_word_embeddings"]
        (directory / "config.json").write_text(json.dumps(config))
        tensors = load_file(directory / "model.safetensors")
        tensors["lm_head.weight"] = tensors["model.embed_tokens.weight"].clone() * 2
        save_file(tensors, directory / "model.safetensors", metadata={"format": "pt"})

    monkeypatch.setattr(type(broken.policy), "save", untie)
    assert "parameters, head " in message("round_trip", broken)
