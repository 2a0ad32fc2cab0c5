"""The same tensors through TRL's losses, where TRL is installed (`make peers`): its GKD, and its ULD and GOLD."""

from types import SimpleNamespace

import pytest
import torch

from whit.objectives.byte_merge import byte_merge
from whit.objectives.generalised_jsd import generalised_jsd
from whit.objectives.uld import uld
from whit.training.teachers import merged

pytest.importorskip("trl", reason="TRL is not installed")


def draw(*sizes: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(sizes, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("beta", [0.0, 0.1, 0.5, 0.9, 1.0])
def test_generalised_jsd_is_trls_gkd_loss(beta):
    from trl.experimental.gkd import GKDTrainer

    student, teacher = draw(2, 5, 13), draw(2, 5, 13, seed=1)
    labels = torch.tensor([[-100, 3, 3, 3, 3], [-100, -100, 3, 3, 3]])
    theirs = GKDTrainer.generalized_jsd_loss(student, teacher, labels=labels, beta=beta, reduction="batchmean")
    rows = labels != -100
    ours = generalised_jsd(student[rows], teacher[rows], beta=beta).mean()
    torch.testing.assert_close(ours, theirs)


def gold(**settings: object) -> object:
    from trl.experimental.gold.gold_trainer import ULDLoss

    config = SimpleNamespace(
        uld_crossentropy_weight=0.0, uld_distillation_weight=1.0, uld_student_temperature=1.0,
        uld_teacher_temperature=1.0, uld_skip_student_eos=False, uld_skip_teacher_eos=False, use_extended_uld=True,
        uld_token_merge_strategy="observed", uld_use_hybrid_loss=False, beta=0.5, **settings,
    )  # fmt: skip
    return ULDLoss(config)


def test_merged_groups_and_uld_are_golds():
    loss, student, teacher = gold(), draw(4, 9), draw(3, 11, seed=1)
    groups, teacher_groups = [[0], [1, 2], [3]], [[0], [1], [2]]
    labels, teacher_labels = torch.tensor([1, 5, 0, 8]), torch.tensor([3, 3, 10])
    theirs = [
        loss._merge_probabilities_with_alignment_groups(logits.softmax(-1), own, ids.tolist())
        for logits, own, ids in ((student, groups, labels), (teacher, teacher_groups, teacher_labels))
    ]
    ours = [
        merged(logits, ids, torch.tensor([g[0] for g in own]), torch.tensor([len(g) for g in own]))
        for logits, own, ids in ((student, groups, labels), (teacher, teacher_groups, teacher_labels))
    ]
    for found, expected in zip(ours, theirs, strict=True):
        torch.testing.assert_close(found.exp(), expected)
    sorted_both = [values.sort(-1, descending=True).values for values in theirs]
    padded = torch.nn.functional.pad(sorted_both[0], (0, 2))
    torch.testing.assert_close(uld(*ours).mean(), (padded - sorted_both[1]).abs().sum() / 3)


@pytest.mark.parametrize("beta", [0.0, 0.5, 1.0])
def test_byte_merge_is_golds_hybrid_loss(beta):
    loss, student, teacher = gold(), draw(4, 9).softmax(-1), draw(4, 11, seed=1).softmax(-1)
    common, teacher_common = torch.tensor([0, 4, 7]), torch.tensor([2, 3, 9])
    loss.use_hybrid_loss, loss.beta = True, beta
    loss._teacher_matched_ids, loss._student_matched_ids = {2, 3, 9}, {0, 4, 7}
    loss.mapping_tensor = torch.full((10,), -1)
    loss.mapping_tensor[teacher_common] = common
    theirs = loss._compute_hybrid_uld_loss(student, teacher)
    ours = byte_merge(student.log(), teacher.log(), common, teacher_common, beta=beta).mean()
    torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-5)
