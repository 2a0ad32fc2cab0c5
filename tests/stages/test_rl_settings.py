"""What the settings of the stage `rl` do beside the algorithm: each run is a few steps of a tiny model."""

from pathlib import Path
from typing import Any

import pytest
from stage_runs import REWARDS, perform, weights_hash

from whit.core.errors import PartError, RecipeError
from whit.core.types import Artifact
from whit.testing.run import tiny_run

SMALL = {"prompts_per_step": 2, "optim": {"lr": 1e-2, "schedule": "constant", "warmup": 0.0}}


@pytest.fixture
def rl(tiny_model: Path, sums: Path, tmp_path: Path) -> Any:
    (tmp_path / "own.py").write_text(REWARDS)

    def run(name: str = "out", budget: float = 3e8, **settings: Any) -> tuple[Artifact, list[dict[str, Any]]]:
        lines: list[dict[str, Any]] = []
        own = {"algorithm": {"name": "grpo", "group_size": 4}, "reward": f"{tmp_path / 'own.py'}:vowels"}
        artifact = perform(
            "rl", tiny_model, tiny_run(tmp_path / name, budget, task=str(sums), notify=lines.append),
            **{**SMALL, **own, **settings},
        )  # fmt: skip
        return artifact, [line for line in lines if "reward" in line]

    return run


def accounts(artifact: Artifact) -> dict[str, Any]:
    return artifact.facts()["ledger"]["accounts"]


def test_without_a_price_there_is_no_reference(rl):
    assert "reference" not in accounts(rl()[0])


def test_a_penalty_in_the_loss_begins_at_zero(rl):
    artifact, lines = rl(kl={"weight": 0.5})
    assert accounts(artifact)["reference"]["flops"] > 0
    assert lines[0]["reference_kl"] == pytest.approx(0.0, abs=1e-9) and lines[-1]["reference_kl"] > 0


def test_a_penalty_in_the_reward_is_no_term(rl):
    artifact, lines = rl(kl={"weight": 0.5, "place": "reward"})
    assert accounts(artifact)["reference"]["flops"] > 0 and "reference_kl" not in lines[-1]
    assert weights_hash(artifact) != weights_hash(rl("plain")[0])


def test_a_reference_that_follows_stays_nearer(rl):
    still = rl("still", kl={"weight": 1e-6})[1]
    follows = rl("follows", kl={"weight": 1e-6, "every": 1, "share": 1.0})[1]
    assert follows[-1]["reference_kl"] < 0.5 * still[-1]["reference_kl"]


def test_a_bonus_keeps_the_entropy_up(rl):
    plain, raised = rl("plain", budget=6e8)[1], rl("raised", budget=6e8, entropy=1.0)[1]
    assert raised[-1]["entropy"] > plain[-1]["entropy"]


def test_fewer_tokens_a_smaller_gradient(rl):
    norms = [rl(name, budget=8e7, top_entropy=share)[1][0]["grad_norm"] for name, share in (("all", 1.0), ("few", 0.2))]
    assert 0 < norms[1] < norms[0]


def test_where_sampler_and_trainer_agree_a_correction_changes_nothing_that_matters(rl):
    lines = rl(correction={"level": "token", "cap": 2.0})[1]
    assert lines[0]["correction_largest"] < 1e-3 and lines[0]["corrected"] == 0.0
    assert lines[0]["reward"] == rl("plain")[1][0]["reward"]


def test_groups_without_a_signal_are_sampled_again_and_charged(rl, tmp_path):
    """A reward that is nearly always 1: most groups are equal, and other prompts take their place."""
    (tmp_path / "rare.py").write_text("def rare(verdict, text):\n    return float(sum(map(ord, text)) % 7 != 0)\n")
    settings = {"reward": f"{tmp_path / 'rare.py'}:rare", "algorithm": {"name": "dapo", "group_size": 2, "refills": 3}}
    lines = rl(**settings)[1]
    assert any(line["refills"] > 0 for line in lines) and all(line["refills"] <= 3 for line in lines)
    assert all(line["sampled_prompts"] >= 2 for line in lines)
    for line in lines:
        assert (line["sampled_prompts"] > 2) == (line["refills"] > 0)


def test_a_critic_learns_what_to_expect(rl):
    _, lines = rl(budget=2e9, algorithm={"name": "ppo", "num_updates": 2, "value_weight": 1.0}, prompts_per_step=4)
    first, last = (sum(line["value_regression"] for line in part) for part in (lines[:5], lines[-5:]))
    assert last < first


@pytest.mark.parametrize("name", ["soft_overlong", {"name": "cosine_length", "wrong": [-2.0, -1.0]}])
def test_a_shaping_changes_the_reward(rl, name):
    plain, shaped = rl("plain")[1], rl("shaped", shaping=name)[1]
    assert shaped[0]["reward"] < plain[0]["reward"]


def test_shapings_are_applied_in_their_order(rl, tmp_path):
    (tmp_path / "shape.py").write_text(
        "def one(answers):\n    return [1.0] * len(answers)\n\n"
        "def double(answers):\n    return [2 * a.reward for a in answers]\n"
    )
    assert rl("a", shaping=(f"{tmp_path / 'shape.py'}:one", f"{tmp_path / 'shape.py'}:double"))[1][0]["reward"] == 2.0
    assert rl("b", shaping=(f"{tmp_path / 'shape.py'}:double", f"{tmp_path / 'shape.py'}:one"))[1][0]["reward"] == 1.0


def test_a_curriculum_is_told_how_prompts_went(rl):
    lines = rl(curriculum={"name": "difficulty", "fresh": 0.5})[1]
    assert lines[-1]["seen prompts"] >= lines[0]["seen prompts"] > 0


def test_a_reference_cannot_follow_adapters(rl):
    with pytest.raises(RecipeError, match="cannot follow adapters"):
        rl(kl={"weight": 0.1, "every": 2}, lora={"rank": 2})


@pytest.mark.parametrize("given", ["None", "float('nan')", "'much'", "[1.0]"])
def test_a_reward_that_is_no_number_is_named(rl, tmp_path, given):
    (tmp_path / "odd.py").write_text(f"def odd(verdict, text):\n    return {given}\n")
    with pytest.raises(PartError, match=r"^stage\.1\.reward: \S+odd\.py:odd gave .* It has to give a finite number"):
        rl(reward=f"{tmp_path / 'odd.py'}:odd")


def test_a_curriculum_that_chooses_nothing_is_named(rl, tmp_path):
    (tmp_path / "none.py").write_text(
        "from whit.curricula._types import Curriculum\n\nclass Nothing(Curriculum):\n"
        "    def choose(self, count):\n        return []\n\n"
        "def none(examples, seed):\n    return Nothing(examples, seed)\n"
    )
    with pytest.raises(PartError, match="chose no prompt"):
        rl(curriculum=f"{tmp_path / 'none.py'}:none")


def test_a_target_keeps_the_entropy_up_and_shows_what_it_pays(rl):
    kept = rl("kept", budget=6e8, entropy={"target": 100.0, "change": 0.5})[1]
    assert [line["entropy_weight"] for line in kept[:3]] == [0.0, 0.5, 1.0]
    assert kept[-1]["entropy"] > rl("plain", budget=6e8)[1][-1]["entropy"]


def test_above_its_target_nothing_is_paid(rl):
    lines = rl("idle", entropy={"target": 1e-6, "weight": 0.5})[1]
    assert {line["entropy_weight"] for line in lines} == {0.0}
    assert weights_hash(rl("idle", entropy={"target": 1e-6, "weight": 0.5})[0]) == weights_hash(rl("plain")[0])


def test_what_the_limit_cuts_off_earns_nothing_where_an_end_is_needed(rl):
    """The tiny model hardly ever ends; its vowels are paid all the same by an algorithm that does not ask for an end."""
    one = rl("one", algorithm={"name": "tldr", "group_size": 4, "drop_equal": False})[1][0]
    other = rl("other", algorithm={"name": "grpo", "group_size": 4})[1][0]
    assert one["truncated"] > 0.5 and one["reward"] <= 1 - one["truncated"]
    assert other["reward"] > 0


@pytest.mark.parametrize("estimator", ["k2", "k3"])
def test_every_estimator_can_be_taken_from_the_reward(rl, estimator):
    kl = {"weight": 5.0, "place": "reward"}
    assert weights_hash(rl("k1", kl=kl)[0]) != weights_hash(rl(estimator, kl={**kl, "estimator": estimator})[0])


@pytest.mark.parametrize(
    "kl",
    [{"weight": 0.1, "estimator": "k1"}, {"weight": 0.1, "place": "reward", "weighted": True}],
    ids=["k1", "weighted"],
)
def test_an_estimator_that_would_do_nothing_is_refused(rl, kl):
    with pytest.raises(RecipeError, match=r"k1|weighted"):
        rl(kl=kl)
