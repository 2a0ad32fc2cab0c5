"""Every training stage at its smallest: a few steps of a two-layer model on a file of sums."""

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file

from whit.core.parts import find
from whit.core.rundir import Run
from whit.core.settings import check_settings
from whit.core.types import Artifact
from whit.testing.run import as_artifact, tiny_run
from whit.testing.tiny import tiny_model

SMALL = {"batch_documents": 4, "optim": {"lr": 1e-2}}
GUIDED = {**SMALL, "source": "answers"}
CHOSEN = {"contexts": 2, "understanding": [0], "prediction": [1], "norm": "state"}
GROUPS = {"prompts_per_step": 2, "optim": {"lr": 1e-2}}
# Name, stage and settings; a reward that is seldom equal within a group stands for a verifier.
CASES: dict[str, tuple[str, dict[str, Any]]] = {
    "sft": ("sft", SMALL),
    "sft on answers": ("sft", {**SMALL, "source": "answers"}),
    "sft with lora": ("sft", {**SMALL, "lora": {"rank": 2}}),
    "sft guided by a space": ("sft", {**GUIDED, "space": {**CHOSEN, "refresh": 2}}),
    "sft guided by a classifier": (
        "sft",
        {**GUIDED, "space": {"contexts": 2, "prediction": [1], "control": "learned"}},
    ),
    "sft guided with noise": ("sft", {**GUIDED, "space": {**CHOSEN, "loss": "space_bottleneck"}}),
    "sft with lora drawn to targets": (
        "sft",
        {
            **GUIDED,
            "batch_documents": 2,
            "lora": {"rank": 2},
            "space": {**CHOSEN, "loss": {"name": "space_target", "alpha": 1.0}},
        },
    ),
    "kd": ("kd", SMALL),
    "kd on teacher text": ("kd", {**SMALL, "text": "teacher"}),
    "kd half on-policy": ("kd", {**SMALL, "on_policy": 0.5}),
    "rl": ("rl", {**GROUPS, "algorithm": {"name": "grpo", "group_size": 4}}),
    "rl with two updates": ("rl", {**GROUPS, "algorithm": {"name": "grpo", "group_size": 4, "num_updates": 2}}),
    "rl with a reference": ("rl", {**GROUPS, "algorithm": {"name": "grpo", "group_size": 4}, "kl": {"weight": 0.1}}),
    "rl with a critic": ("rl", {**GROUPS, "algorithm": {"name": "ppo", "group_size": 4, "num_updates": 2}}),
    "rl with a baseline and a moving reference": (
        "rl",
        {
            **GROUPS,
            "algorithm": {"name": "reinforce", "group_size": 4},
            "curriculum": "hard_replay",
            "kl": {"weight": 0.1, "place": "reward", "every": 1, "share": 0.5},
        },
    ),
}
SLOW = {"kd on teacher text"}  # 1 s each: the teacher writes until it ends
EACH_CASE = [pytest.param(name, marks=pytest.mark.slow) if name in SLOW else name for name in CASES]
BUDGET = 2e8
REWARDS = '''
def vowels(verdict, text):
    """Share of a text's characters that are vowels."""
    return sum(c in "aeiou" for c in text) / max(1, len(text))

def digits(verdict, text):
    """Share of a text's characters that are digits."""
    return sum(c.isdigit() for c in text) / max(1, len(text))

def anything(completion, example):
    """A reward function that accepts whatever is not empty."""
    return float(bool(completion))
'''


def perform(stage: str, start: Path, run: Run, **settings: Any) -> Artifact:
    """The artifact of a stage, its settings checked as a recipe's are."""
    function = find("stage", stage)
    artifact = function(as_artifact(start), run, **check_settings(function, settings, "stage.1"))
    assert isinstance(artifact, Artifact)
    return artifact


def perform_case(case: str, start: Path, task: Path, directory: Path, budget: float = BUDGET, **given: Any) -> Artifact:
    """The artifact of one of CASES; its reward and its teacher are made beside it."""
    stage, settings = CASES[case]
    parts = directory.parent / "parts"
    parts.mkdir(parents=True, exist_ok=True)
    if stage == "rl":
        (parts / "rewards.py").write_text(REWARDS)
        settings = {"reward": f"{parts / 'rewards.py'}:vowels", **settings}
    if "space" in settings:
        rows = [{"text": f"I see {n} {('pens', 'cups')[n % 2]}.", "label": ("one", "two")[n % 2]} for n in range(40)]
        (parts / "labels.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
        task = parts / "labels.jsonl"
    if stage == "kd" and not (parts / "teacher").exists():
        tiny_model(parts / "teacher", seed=7)
    if settings.get("text") == "teacher":  # long enough that some of what a random teacher writes ends
        given.setdefault("max_new_tokens", 60)
    teacher = str(parts / "teacher") if stage == "kd" else None
    run = tiny_run(directory, budget, task=str(task), teacher=teacher, **given)
    return perform(stage, start, run, **settings)


def weights_hash(artifact: Artifact) -> str:
    tensors = load_file(artifact.path / "model.safetensors")
    total = hashlib.sha256()
    for name in sorted(tensors):
        total.update(name.encode() + tensors[name].numpy().tobytes())
    return total.hexdigest()


def metrics(artifact: Artifact) -> list[dict[str, float]]:
    return [json.loads(line) for line in (artifact.path / "metrics.jsonl").read_text().splitlines()]


def flops_of(artifact: Artifact) -> float:
    return sum(account["flops"] for account in artifact.facts()["ledger"]["accounts"].values())
