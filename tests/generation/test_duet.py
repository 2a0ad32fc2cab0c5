"""Two models write one text: what each rule draws, and that both models read exactly what was written."""

import pytest
import torch

from whit.core.errors import TemplateError
from whit.core.ledger import Ledger
from whit.data.batch import Document, collate
from whit.generation.duet import Chosen, Draw, Duet
from whit.generation.rules import Proposals, mixed, reverse_speculative
from whit.testing.tiny import tiny_decoder
from whit.training.signals import score

STUDENT, TEACHER = tiny_decoder(seed=0), tiny_decoder(seed=1)
PROMPTS = [([5, 6, 7], [9, 5, 6, 7]), ([1, 2], [9, 1, 2]), ([30, 31, 32, 33], [9, 30, 31, 32, 33])]
STOPS = frozenset({3})
KEYS = ["a", "b", "c"]
P_T, P_S = (torch.tensor([p], dtype=torch.float64).log() for p in ([0.6, 0.3, 0.1], [0.005, 0.5, 0.495]))
ROWS = 40_000


def uniform(seed: int = 0) -> Draw:
    generator = torch.Generator().manual_seed(seed)
    numbers = torch.rand(16, ROWS, generator=generator, dtype=torch.float64)
    return lambda index: numbers[index]


def frequencies(chosen: Chosen) -> list[float]:
    return (torch.bincount(chosen.ids_B, minlength=3) / ROWS).tolist()


def toy(**settings: float) -> Chosen:
    rule = reverse_speculative(Proposals(top_k=3, top_p=1.0, **settings), end_of_turn=99)
    return rule(P_S.expand(ROWS, 3), P_T.expand(ROWS, 3), uniform())


def test_one_proposal_is_taken_where_the_student_finds_it_likely_and_else_it_writes_itself():
    chosen = toy(threshold=0.01, trials=1, temperature=1.0)
    assert chosen.is_teachers_B.double().mean().item() == pytest.approx(0.4, abs=0.01)
    assert frequencies(chosen) == pytest.approx([0.003, 0.6, 0.397], abs=0.01)


def test_the_students_own_token_is_drawn_at_the_temperature():
    # Proposals at 0.7 are (.6, .3, .1)^(1/0.7), renormalised; the student's own tokens its probabilities^(1/0.7).
    chosen = toy(threshold=2.0, trials=1, temperature=0.7)
    soft = (P_S[0] / 0.7).softmax(-1).tolist()
    assert frequencies(chosen) == pytest.approx(soft, abs=0.01)
    assert not chosen.is_teachers_B.any()


def test_five_proposals_leave_the_student_few_tokens_and_split_the_others_as_the_teacher_does():
    chosen = toy(threshold=0.01, trials=5, temperature=1.0)
    assert 1 - chosen.is_teachers_B.double().mean().item() == pytest.approx(0.07776, abs=0.006)
    taken = chosen.ids_B[chosen.is_teachers_B]
    assert (taken == 1).double().mean().item() == pytest.approx(0.75, abs=0.01)
    assert not (taken == 0).any()


def test_without_a_threshold_all_is_the_filtered_teacher():
    chosen = toy(threshold=0.0, trials=1, temperature=1.0)
    assert chosen.is_teachers_B.all()
    assert frequencies(chosen) == pytest.approx([0.6, 0.3, 0.1], abs=0.01)


def test_top_p_keeps_the_token_that_crosses_it():
    rule = reverse_speculative(Proposals(threshold=0.0, trials=1, top_p=0.7, temperature=1.0), end_of_turn=99)
    chosen = rule(P_S.expand(ROWS, 3), P_T.expand(ROWS, 3), uniform())
    assert frequencies(chosen) == pytest.approx([2 / 3, 1 / 3, 0.0], abs=0.01)


def test_the_teachers_end_is_the_students_end():
    ending = torch.tensor([[0.0, 50.0, 0.0]], dtype=torch.float64)
    rule = reverse_speculative(Proposals(threshold=0.0, trials=1), end_of_turn=2, teacher_ends=frozenset({1}))
    chosen = rule(P_S.expand(4, 3), ending.expand(4, 3), lambda _: torch.full((4,), 0.5, dtype=torch.float64))
    assert chosen.ids_B.tolist() == [2, 2, 2, 2]


def test_a_mixture_draws_from_the_mixture_and_tells_its_probability():
    chosen = mixed(0.2)(P_S.expand(ROWS, 3), P_T.expand(ROWS, 3), uniform())
    expected = 0.2 * P_T[0].exp() + 0.8 * P_S[0].exp()
    assert frequencies(chosen) == pytest.approx(expected.tolist(), abs=0.01)
    torch.testing.assert_close(chosen.logprobs_B, expected.log()[chosen.ids_B], check_dtype=False, rtol=1e-5, atol=1e-5)


def write(rule, **given):
    duet = Duet(STUDENT, TEACHER, STOPS, max_rows=given.pop("max_rows", 64))
    return duet, duet.write(PROMPTS, rule, max_new_tokens=12, keys=KEYS, **given)


@pytest.mark.parametrize("max_rows", [1, 2, 64])
def test_both_models_read_exactly_what_was_written(max_rows):
    _, groups = write(mixed(0.5), num_samples=3, seed=4, max_rows=max_rows)
    for pair, group in zip(PROMPTS, groups, strict=True):
        for text in group:
            for prompt, model, told in (
                (pair[0], STUDENT, text.student_logprobs), (pair[1], TEACHER, text.teacher_logprobs)
            ):  # fmt: skip
                document = Document([*prompt, *text.ids], ((len(prompt), len(prompt) + len(text.ids)),))
                logprobs_T, _ = score(model, collate([document], torch.device("cpu")))
                torch.testing.assert_close(torch.tensor(told).double(), logprobs_T, rtol=1e-5, atol=1e-5)
            assert (text.finish == "stop") == (text.ids[-1] in STOPS)
            assert len(text.ids) <= 12


def test_random_numbers_depend_on_the_seed_the_prompt_and_the_sample_alone():
    _, together = write(mixed(0.5), num_samples=2, seed=4)
    _, alone = write(mixed(0.5), num_samples=2, seed=4, max_rows=1)
    _, other = write(mixed(0.5), num_samples=2, seed=5)
    ids = [[[text.ids for text in group] for group in groups] for groups in (together, alone, other)]
    assert ids[0] == ids[1] != ids[2]


def test_every_token_taken_from_the_teacher_is_likely_enough_for_the_student():
    _, groups = write(reverse_speculative(Proposals(threshold=0.02), end_of_turn=3), num_samples=4)
    taken = [lp for g in groups for t in g for lp, own in zip(t.student_logprobs, t.is_teachers, strict=True) if own]
    assert len(taken) > 20
    assert min(taken) >= torch.tensor(0.02).log().item() - 1e-3


def test_both_models_are_charged_for_their_prompts_once_and_for_every_token_fed_back():
    duet, groups = write(mixed(0.5), num_samples=2)
    ledger = Ledger()
    duet.charge(ledger, PROMPTS, groups, seconds=2.0)
    fed = sum(len(text.ids) - 1 for group in groups for text in group)
    assert ledger.accounts["sample"].tokens == fed + sum(len(own) for own, _ in PROMPTS)
    assert ledger.accounts["teacher"].tokens == fed + sum(len(theirs) for _, theirs in PROMPTS)
    assert ledger.seconds == pytest.approx(2.0)


def test_a_prompt_that_fills_the_context_is_refused_by_name():
    long = [list(range(1, 61)) * 3] * 2
    with pytest.raises(TemplateError, match=r"1 of 2 prompts fill the context of a model .* first b"):
        Duet(STUDENT, TEACHER, STOPS).write([PROMPTS[0], tuple(long)], mixed(0.5), max_new_tokens=4, keys=["a", "b"])
