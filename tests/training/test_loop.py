"""The loop: what it spends, when it ends, what it refuses, and that going on after a kill changes nothing."""

import json
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from whit.core.errors import BudgetError, CollapseError, DataError, PartError
from whit.core.flops import causal_pairs, forward_flops
from whit.core.rundir import Run
from whit.data.batch import Document
from whit.data.sharing import micro_batches
from whit.models.decoder import Decoder
from whit.objectives._types import PerToken, Term
from whit.objectives.cross_entropy import cross_entropy
from whit.objectives.forward_kl import forward_kl
from whit.testing.run import tiny_run
from whit.testing.tiny import tiny_decoder, tiny_documents
from whit.training import checkpoint
from whit.training.checkpoint import restore_checkpoint
from whit.training.loop import Feed, step_flops, train
from whit.training.memory import Memory
from whit.training.optim import Optim, Optimizer
from whit.training.signals import Forward
from whit.training.teachers import Live
from whit.training.vocabulary import check_terms

TERMS = [Term(cross_entropy)]
BATCH = tiny_documents((3, 4), (2, 7), (5, 2))
STEP = step_flops(Forward(tiny_decoder()), BATCH)[0]


def same_batch(step: int, progress: float) -> Feed | None:
    return Feed(BATCH)


def batches(count: int) -> Any:
    """A different batch at each of `count` steps."""
    return lambda step, progress: Feed(tiny_documents((3, 4), (2, 5), seed=step)) if step < count else None


def fit(
    run: Run, producer: Any = same_batch, terms: Sequence[Term] = TERMS, decoder: Decoder | None = None, **given: Any
) -> int:
    decoder = decoder or tiny_decoder()
    optimizer = Optimizer(decoder, Optim(), 1e-2)
    return train(Forward(decoder, **given), terms, producer, optimizer, run, memory=Memory(16, 1e9, 0.0, 0.0))


def metrics(run: Run) -> list[dict[str, float]]:
    return [json.loads(line) for line in (run.directory / "metrics.jsonl").read_text().splitlines()]


def weights(decoder: Decoder) -> Tensor:
    return torch.cat([parameter.detach().flatten() for parameter in decoder.parameters()]).clone()


def test_the_operations_of_a_step_by_hand():
    shape = tiny_decoder().config.shape
    pairs = 7 * 8 / 2 + 9 * 10 / 2 + 7 * 8 / 2
    body = 2 * (16 * 8 * (2 * 2 + 2 * 1) + 3 * 16 * 24)  # two layers: attention, feed-forward
    forward = 2 * body * 23 + 2 * 64 * 16 * 13 + 4 * 2 * 16 * pairs
    assert causal_pairs(7, 9, 7) == pairs
    assert forward_flops(shape, 23, 13, pairs) == forward
    assert step_flops(Forward(tiny_decoder(), Live((tiny_decoder(),))), BATCH) == (3 * forward, forward)


def test_it_ends_when_the_producer_does(tmp_path):
    run = tiny_run(tmp_path / "a")
    assert fit(run, batches(3)) == 3
    assert [line["step"] for line in metrics(run)] == [0, 1, 2]


def test_it_spends_what_steps_fit_and_never_more(tmp_path):
    for budget, updates in ((3.0, 3), (3.99, 3), (4.0, 4)):
        run = tiny_run(tmp_path / str(budget), limit_flops=budget * STEP)
        assert fit(run) == updates
        assert run.ledger.flops == pytest.approx(updates * STEP)
        assert run.ledger.progress <= 1.0


def test_a_budget_below_one_step_is_refused(tmp_path):
    run = tiny_run(tmp_path / "a", limit_flops=0.9 * STEP)
    decoder = tiny_decoder()
    with pytest.raises(BudgetError, match="too small for one step"):
        fit(run, decoder=decoder)
    assert torch.equal(weights(decoder), weights(tiny_decoder()))


def sampling(run: Run, cost: float, *, updates: int = 1, empty: Sequence[int] = ()) -> Any:
    """A producer whose rounds of `updates` steps begin with sampling for `cost`. empty: steps without documents."""

    def producer(step: int, progress: float) -> Feed:
        if step % updates == 0:
            run.ledger.charge("sample", flops=cost)
        return Feed([] if step in empty else BATCH, ends_round=step % updates == updates - 1)

    return producer


@pytest.mark.parametrize(("updates", "budget", "rounds"), [(1, 6.0, 3), (1, 7.9, 3), (2, 6.0, 2), (2, 8.9, 2)])
def test_sampling_is_only_begun_when_a_whole_round_fits(tmp_path, updates, budget, rounds):
    run = tiny_run(tmp_path / "a", limit_flops=budget * STEP)
    assert fit(run, sampling(run, STEP, updates=updates)) == rounds * updates
    assert run.ledger.flops == pytest.approx(rounds * (1 + updates) * STEP)


def test_steps_without_documents_are_counted_and_end_with_the_budget(tmp_path):
    run = tiny_run(tmp_path / "a", limit_flops=3.5 * STEP)
    assert fit(run, sampling(run, STEP, empty=range(100))) == 0
    assert len(metrics(run)) == 3
    assert "cross_entropy" not in metrics(run)[0]


def test_a_budget_that_empty_steps_have_eaten_ends_the_stage_without_an_error(tmp_path):
    run = tiny_run(tmp_path / "a", limit_flops=2.5 * STEP)
    assert fit(run, sampling(run, STEP, empty=[0])) == 0


def test_a_first_round_of_sampling_that_passes_the_budget_is_refused_though_it_found_nothing(tmp_path):
    run = tiny_run(tmp_path / "a", limit_flops=0.5 * STEP)
    with pytest.raises(BudgetError, match="step 1"):
        fit(run, sampling(run, STEP, empty=[0]))


def test_a_line_of_metrics_tells_loss_rate_tokens_and_cost(tmp_path):
    run = tiny_run(tmp_path / "a", limit_flops=2 * STEP)
    fit(run)
    first, second = metrics(run)
    assert first["cross_entropy"] == pytest.approx(4.16, abs=2.0)  # about ln 64: the weights are random
    assert (first["tokens"], first["supervised_tokens"], first["flops"]) == (23, 13, pytest.approx(STEP, rel=1e-5))
    assert (first["progress"], second["progress"]) == (0.0, 0.5)
    assert (first["lr"], second["lr"]) == (pytest.approx(1e-4), pytest.approx(1e-2 * 0.58, rel=0.1))
    assert first["grad_norm"] > 0


def test_the_teachers_forward_pass_is_charged(tmp_path):
    run = tiny_run(tmp_path / "a")
    fit(run, batches(1), [Term(forward_kl)], teacher=Live((tiny_decoder(seed=2),)))
    assert run.ledger.accounts["teacher"].flops == pytest.approx(run.ledger.accounts["train"].flops / 3)


def test_a_loss_falls_over_twenty_steps(tmp_path):
    run = tiny_run(tmp_path / "a", limit_flops=20 * STEP)
    fit(run)
    losses = [line["cross_entropy"] for line in metrics(run)]
    assert losses[-1] < 0.5 * losses[0]


@pytest.mark.parametrize("value", [torch.nan, torch.inf])
def test_a_loss_that_is_not_finite_stops_before_the_weights_are_touched(tmp_path, value):
    def breaks(logprobs_T: Tensor, progress: float) -> PerToken:
        return -logprobs_T * (1.0 if progress < 0.5 else value)

    decoder, seen = tiny_decoder(), []
    run = tiny_run(tmp_path / "a", limit_flops=4 * STEP, notify=lambda line: seen.append(weights(decoder)))
    with pytest.raises(CollapseError, match="step 3: breaks is"):
        fit(run, same_batch, [Term(breaks)], decoder)
    assert len(seen) == 2
    assert torch.equal(weights(decoder), seen[-1])


def test_a_gradient_that_is_not_finite_stops_before_the_weights_are_touched(tmp_path):
    def root(logprobs_T: Tensor) -> PerToken:
        return (logprobs_T - logprobs_T.detach()).abs().sqrt()  # 0, with the gradient 0 / 0

    decoder = tiny_decoder()
    with pytest.raises(CollapseError, match="grad_norm"):
        fit(tiny_run(tmp_path / "a"), batches(5), [Term(root)], decoder)
    assert torch.equal(weights(decoder), weights(tiny_decoder()))


def test_a_step_without_a_supervised_token_is_an_error(tmp_path):
    with pytest.raises(DataError, match="no token of this step is supervised"):
        fit(tiny_run(tmp_path / "a"), lambda step, progress: Feed([Document(ids=(1, 2), spans=())]))


@pytest.mark.parametrize("max_tokens", [1, 8, 9, 16, 1000])
def test_micro_batches_hold_every_document_and_at_most_max_tokens_or_the_longest(max_tokens):
    parts = micro_batches(BATCH, max_tokens)
    assert sorted(i for part in parts for i in part) == [0, 1, 2]
    assert max(sum(len(BATCH[i].ids) for i in part) for part in parts) <= max(max_tokens, 9)


class KilledError(Exception):
    """The process is gone."""


def killed_after(step: int) -> Any:
    def notify(line: dict[str, Any]) -> None:
        if line["step"] == step:
            raise KilledError

    return notify


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
@pytest.mark.parametrize("killed", [0, 1, 4])
def test_going_on_after_a_kill_equals_no_interruption(tmp_path, killed, dtype):
    limit = sum(step_flops(Forward(tiny_decoder()), batches(9)(step, 0.0).documents)[0] for step in range(6))
    whole, cut = (tiny_decoder(dtype=dtype) for _ in range(2))
    expected = tiny_run(tmp_path / "whole", limit_flops=limit)
    assert fit(expected, batches(9), decoder=whole) == 6
    first = tiny_run(tmp_path / "cut", limit, notify=killed_after(killed), checkpoint_seconds=0)
    with pytest.raises(KilledError):
        fit(first, batches(9), decoder=tiny_decoder(dtype=dtype))
    again = tiny_run(tmp_path / "cut", limit)
    assert fit(again, batches(9), decoder=cut) == 6
    assert torch.equal(weights(cut), weights(whole))
    assert again.ledger.flops == expected.ledger.flops
    assert without_time(metrics(again)) == without_time(metrics(expected))


def without_time(lines: list[dict[str, float]]) -> list[dict[str, float]]:
    return [{name: value for name, value in line.items() if name != "seconds"} for line in lines]


def test_a_stage_that_was_killed_at_the_end_of_its_budget_ends_as_it_would_have(tmp_path):
    run = tiny_run(tmp_path / "a", 2.5 * STEP, notify=killed_after(1), checkpoint_seconds=0)
    with pytest.raises(KilledError):
        fit(run)
    assert restore_checkpoint(run.directory, Optimizer(tiny_decoder(), Optim(), 1e-2)).updates == 1
    assert fit(tiny_run(tmp_path / "a", 2.5 * STEP, checkpoint_seconds=0)) == 2
    assert fit(tiny_run(tmp_path / "a", 2.5 * STEP)) == 2  # nothing is left to do, and nothing is refused


def test_no_checkpoint_is_taken_inside_a_round(tmp_path):
    run = tiny_run(tmp_path / "a", notify=killed_after(2), checkpoint_seconds=0)
    with pytest.raises(KilledError):
        fit(run, sampling(run, STEP, updates=2))
    state = restore_checkpoint(run.directory, Optimizer(tiny_decoder(), Optim(), 1e-2))
    assert (state.step, state.updates) == (2, 2)
    assert state.dearest == pytest.approx(3 * STEP)


def misspelt(logprob_T: Tensor) -> PerToken:
    return logprob_T


def cannot_be_chunked(logits_TV: Tensor, sequence_T: Tensor) -> PerToken:
    return logits_TV[:, 0]


@pytest.mark.parametrize(
    ("terms", "message"),
    [
        ([Term(misspelt)], "Did you mean 'logprobs_T'"),
        ([Term(forward_kl)], "needs a teacher"),
        ([Term(cannot_be_chunked)], "cannot be chunked"),
        ([Term(cross_entropy), Term(cross_entropy, weight=2.0)], "two terms"),
    ],
)
def test_terms_that_cannot_be_computed_are_refused_before_the_first_step(tmp_path: Path, terms, message):
    with pytest.raises(PartError, match=message):
        check_terms(terms, None)


def test_a_stage_that_goes_on_says_where(tmp_path):
    run = tiny_run(tmp_path / "a", 5.5 * STEP, notify=killed_after(2), checkpoint_seconds=0)
    with pytest.raises(KilledError):
        fit(run)
    lines: list[dict] = []
    fit(tiny_run(tmp_path / "a", 5.5 * STEP, notify=lines.append))
    assert lines[0]["resumed"] == 2 and lines[0]["progress"] == pytest.approx(2 / 5.5, rel=0.1)
    assert not any("resumed" in line for line in lines[1:])


def test_a_checkpoint_that_takes_long_is_taken_seldom(tmp_path, monkeypatch):
    """Saving takes ten seconds of the clock, as a step does: 200 lie between two, however often it is asked for."""
    clock, saves = [0.0], []
    monkeypatch.setattr(checkpoint.time, "monotonic", lambda: clock[0])

    def save(*_):
        clock[0] += 10.0
        saves.append(clock[0])

    def tick(line):
        clock[0] += 10.0

    monkeypatch.setattr(checkpoint, "save_checkpoint", save)
    fit(tiny_run(tmp_path / "a", 60 * STEP, notify=tick, checkpoint_seconds=5.0))
    assert len(saves) >= 2 and all(later - earlier >= 200 for earlier, later in pairwise(saves))
