"""Task spaces on states whose directions are known: planted, mirrored, denoised, read off and kept."""

import math
import re

import pytest
import torch

from whit.core.errors import DataError
from whit.core.types import Example
from whit.data.render import Renderer
from whit.models.load import load_policy
from whit.prompting.instruction_first import instruction_first
from whit.prompting.zero_shot import zero_shot
from whit.spaces import build
from whit.spaces.build import build_space
from whit.spaces.probe import information, plane, profile_of
from whit.spaces.states import last_states, mean_states
from whit.spaces.task_space import TaskSpace, denoised, direction
from whit.testing.tiny import tiny_decoder, tiny_tokenizer

WIDTH, CONTEXTS = 896, 64
EACH = pytest.mark.parametrize("method", ["pca", "mean", "mean_plus_pc"])


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def planted(count=6, noise=0.1, seed=0):
    """Orthonormal directions [K, D], and differences [K, M, 1, D]: a pair is 2 u apart, with noise of this norm."""
    wanted_KD = torch.linalg.qr(torch.randn(WIDTH, count, generator=generator(seed)))[0].T
    drawn = torch.randn(count, CONTEXTS, 1, WIDTH, generator=generator(seed + 1))
    return wanted_KD, 2 * wanted_KD[:, None, None] + noise * drawn / drawn.norm(dim=-1, keepdim=True)


def space(method="pca", **more):
    wanted_KD, differences = planted()
    return wanted_KD, TaskSpace.of("abcdef", [3], differences, torch.zeros(1, WIDTH), method, **more)


@EACH
def test_planted_directions_are_found_with_their_sign(method):
    wanted_KD, found = space(method)
    cosines = (found.base_SKD[0] * wanted_KD).sum(-1)
    assert (cosines > 0.99).all()
    assert found.length_SK[0].tolist() == pytest.approx([2.0] * 6, abs=0.01)


def test_noise_of_a_tenth_on_every_coordinate_leaves_what_the_mean_leaves():
    """2 / sqrt(4 + 896 / 100 / 64) = 0.983 of 64 pairs whose noise is 0.1 on each coordinate."""
    wanted_KD = torch.eye(1, WIDTH)
    noisy = 2 * wanted_KD + 0.1 * torch.randn(CONTEXTS, WIDTH, generator=generator())
    assert float(direction(noisy, "mean")[0]) == pytest.approx(2 / math.sqrt(4 + WIDTH / 100 / CONTEXTS), abs=0.005)


@EACH
def test_the_other_way_round_it_points_the_other_way(method):
    _, differences = planted(1)
    one, other = direction(differences[0, :, 0], method), direction(-differences[0, :, 0], method)
    torch.testing.assert_close(one, -other)


@EACH
def test_the_order_of_the_contexts_does_not_matter(method):
    _, differences = planted(1)
    shuffled = differences[0, torch.randperm(CONTEXTS, generator=generator()), 0]
    torch.testing.assert_close(
        direction(shuffled, method), direction(differences[0, :, 0], method), atol=1e-5, rtol=1e-5
    )


def test_differences_without_a_common_direction_give_their_mean():
    scattered = torch.eye(40) + 0.01
    torch.testing.assert_close(direction(scattered, "pca"), direction(scattered, "mean"))


def test_keeping_all_changes_nothing_in_the_span():
    wanted_KD, _ = planted()
    basis_RD = denoised(wanted_KD, 1.0)
    assert len(basis_RD) == 6
    torch.testing.assert_close(wanted_KD @ basis_RD.T @ basis_RD, wanted_KD, atol=1e-5, rtol=1e-5)


def test_denoising_is_a_projection_on_fewer_directions():
    """Five of six vectors are nearly one: two directions hold 95 % of the energy."""
    base = torch.nn.functional.normalize(torch.eye(6, 20) * 0.05 + torch.eye(20)[10], dim=-1)
    base[5] = torch.eye(20)[15]
    basis_RD = denoised(base, 0.95)
    projector_DD = basis_RD.T @ basis_RD
    assert len(basis_RD) == 2
    torch.testing.assert_close(projector_DD, projector_DD.T)
    torch.testing.assert_close(projector_DD @ projector_DD, projector_DD, atol=1e-6, rtol=1e-6)


def test_kept_is_the_share_of_a_states_square_that_lies_in_the_space():
    """mean (1, 0, 0, 0), a basis of the second and third axis: of (1, 3, 0, 4) less the mean 9 of 25 are kept."""
    plane_RD, mean_SD = torch.eye(4)[1:3], torch.eye(4)[:1]
    found = TaskSpace(("a", "b"), (0,), plane_RD[None], mean_SD, torch.ones(1, 2), (plane_RD,))
    states_NSD = torch.tensor([[[1.0, 3.0, 0.0, 4.0]], [[1.0, 1.0, 2.0, 0.0]], [[6.0, 0.0, 0.0, 1.0]]])
    torch.testing.assert_close(found.kept(states_NSD), torch.tensor([[9 / 25], [1.0], [0.0]]))


def test_coordinates_read_off_which_label_a_state_has():
    wanted_KD, found = space()
    noise = 0.1 * torch.randn(6, WIDTH, generator=generator(9)) / WIDTH**0.5
    states_NSD = (7 * wanted_KD + noise)[:, None]
    coordinates_NSK = found.coordinates(states_NSD)
    assert coordinates_NSK[:, 0].argmax(-1).tolist() == list(range(6))
    assert coordinates_NSK[:, 0].diagonal().tolist() == pytest.approx([1.0] * 6, abs=0.01)


def test_one_label_alone_gives_its_own_vector():
    _, found = space()
    one_hot = torch.eye(6)[2][None, None]
    torch.testing.assert_close(found.vectors(one_hot)[0, 0], found.base_SKD[0, 2])
    assert not found.vectors(0 * one_hot).any()


def test_a_direction_is_denoised_before_it_is_a_push():
    """Of (0.8, 0.6) and the first axis denoising keeps the first axis here: both push along it."""
    base_KD = torch.tensor([[1.0, 0.0], [0.8, 0.6]])
    found = TaskSpace(
        ("a", "b"), (0,), base_KD[None], torch.zeros(1, 2), torch.ones(1, 2), (torch.tensor([[1.0, 0.0]]),)
    )
    torch.testing.assert_close(found.vectors(torch.eye(2)[:, None])[:, 0], torch.tensor([[1.0, 0.0], [1.0, 0.0]]))


def test_random_directions_have_the_same_shape_and_know_nothing():
    wanted_KD, found = space()
    control = found.random(1)
    assert control.labels == found.labels and control.base_SKD.shape == found.base_SKD.shape
    assert (control.base_SKD[0] * wanted_KD).sum(-1).abs().max() < 0.2
    assert control.base_SKD.norm(dim=-1).tolist()[0] == pytest.approx([1.0] * 6)
    assert torch.equal(control.base_SKD, found.random(1).base_SKD)


def test_a_random_space_is_the_space_turned_so_that_angles_and_rank_stay():
    _, found = space()
    control = found.random(3)
    own, turned = found.base_SKD, control.base_SKD
    between = torch.einsum("skd,tjd->stkj", own, own)  # labels, and layers
    torch.testing.assert_close(torch.einsum("skd,tjd->stkj", turned, turned), between, rtol=1e-4, atol=1e-5)
    assert [len(basis) for basis in control.bases] == [len(basis) for basis in found.bases]


def test_it_comes_back_as_it_was_kept(tmp_path):
    _, found = space()
    found.save(tmp_path / "space")
    again = TaskSpace.load(tmp_path / "space")
    assert (again.labels, again.layers) == (tuple("abcdef"), (3,))
    for name in ("base_SKD", "mean_SD", "length_SK"):
        assert torch.equal(getattr(again, name), getattr(found, name))
    assert torch.equal(again.bases[0], found.bases[0])
    with pytest.raises(DataError, match=r"whit space"):
        TaskSpace.load(tmp_path)


def test_some_layers_are_those_of_the_whole():
    differences = torch.randn(2, 8, 3, 10, generator=generator())
    whole = TaskSpace.of("ab", [1, 4, 7], differences, torch.zeros(3, 10))
    part = whole.at([7, 1])
    assert part.layers == (7, 1) and torch.equal(part.base_SKD, whole.base_SKD[[2, 0]])


def test_features_that_are_the_label_tell_all_of_it():
    labels = [i % 4 for i in range(400)]
    features = torch.eye(4)[labels] + 0.01 * torch.randn(400, 4, generator=generator())
    told = information(features[:200], labels[:200], features[200:], labels[200:])
    assert told.nats == pytest.approx(math.log(4), abs=0.15) and told.accuracy == 1.0


def test_features_that_are_noise_tell_nothing():
    labels = [i % 4 for i in range(400)]
    features = torch.randn(400, 4, generator=generator())
    told = information(features[:200], labels[:200], features[200:], labels[200:])
    assert told.nats < 0.03 and told.accuracy < 0.4


def test_states_are_those_of_each_prompt_alone():
    decoder = tiny_decoder(seed=4)
    prompts = [[1, 2, 3], [4, 5], [6, 7, 8, 9]]
    together = last_states(decoder, prompts, [0, 1])
    for prompt, row in zip(prompts, together, strict=True):
        torch.testing.assert_close(last_states(decoder, [prompt], [0, 1])[0], row)
    whole = mean_states(decoder, prompts, 1)
    parts = torch.stack([last_states(decoder, [prompts[0][:n]], [1])[0, 0] for n in (1, 2, 3)])
    torch.testing.assert_close(whole[0], parts.mean(0))


def test_a_profile_is_high_where_states_hold_the_label():
    """Two layers: after the first states are noise, after the second they lie along their label's direction."""
    labels = [i % 3 for i in range(300)]
    noise = torch.randn(300, 2, 20, generator=generator())
    states = noise.clone()
    states[:, 1] += 8 * torch.eye(3, 20)[labels]
    base = TaskSpace("abc", (0, 1), torch.eye(3, 20)[None].repeat(2, 1, 1), torch.zeros(2, 20), torch.ones(2, 3),
                     (torch.eye(3, 20), torch.eye(3, 20)))  # fmt: skip
    first, second = profile_of(base, states, labels, 0)
    assert first.nats < 0.1 and second.nats > 0.9 and second.accuracy > 0.95


def test_a_plane_keeps_what_varies_most():
    points = torch.randn(50, 6, generator=generator()) * torch.tensor([9.0, 5.0, 0.01, 0.01, 0.01, 0.01])
    flat = plane(points)
    assert flat.shape == (50, 2)
    torch.testing.assert_close(torch.cdist(flat, flat), torch.cdist(points, points), atol=0.1, rtol=0.01)


def test_points_on_a_line_have_no_second_component():
    line_N1 = torch.linspace(-1, 1, 30)[:, None]
    assert not plane(line_N1 * torch.randn(1, 6, generator=generator()))[:, 1].any()


def test_of_hints_for_two_labels_what_both_share_is_gone(tiny_model):
    """Each is then the other's opposite: being for or against anything is no part of it."""
    policy = load_policy(tiny_model)
    texts = [Example(f"{n}", f"Text {n}.", "ab"[n % 2], choices=("a", "b")) for n in range(6)]
    found = build_space(policy.decoder, Renderer(policy.tokenizer, max_length=256), texts, contexts=4)
    torch.testing.assert_close(found.base_SKD[:, 0], -found.base_SKD[:, 1], atol=1e-4, rtol=1e-4)


@pytest.fixture
def prompts_read(monkeypatch):
    """What `build_space` has the model read, as text."""
    seen = []
    real = build.last_states

    def watched(decoder, prompts, *rest):
        seen.extend(map(tiny_tokenizer().decode, prompts))
        return real(decoder, prompts, *rest)

    monkeypatch.setattr(build, "last_states", watched)
    return seen


@pytest.mark.parametrize("ask", [zero_shot, instruction_first])
def test_a_hint_stands_after_the_text_of_a_prompt_that_asks_for_the_label_as_always(tiny_model, prompts_read, ask):
    """States are compared where the label is predicted: the instruction is there, and the turn of the answer is open."""
    policy = load_policy(tiny_model)
    renderer = Renderer(policy.tokenizer, max_length=256)
    texts = [
        Example(f"{n}", f"Text {n}.", "ab"[n % 2], choices=("a", "b"), instruction="Is it a or b?") for n in range(6)
    ]
    build_space(policy.decoder, renderer, texts, contexts=2, ask=ask)
    hinted = [prompt for prompt in prompts_read if "This is certainly" in prompt]
    assert len(hinted) == 2 * 2 * 2 and len(prompts_read) == 2 + len(hinted)
    for prompt in hinted:
        without = re.sub(r"\nThis is certainly (not )?about [ab]\.", "", prompt)
        assert without in {policy.tokenizer.decode(renderer.prompt(list(ask(example)))) for example in texts}


def test_the_mean_is_of_every_plain_prompt_that_was_read(tiny_model, prompts_read):
    policy = load_policy(tiny_model)
    renderer = Renderer(policy.tokenizer, max_length=256)
    texts = [Example(f"{n}", f"Text {n}.", "ab"[n % 2], choices=("a", "b")) for n in range(6)]
    found = build_space(policy.decoder, renderer, texts, pairs="examples", contexts=3)
    assert len(prompts_read) == 6
    states_NSD = last_states(policy.decoder, [renderer.prompt(zero_shot(example)) for example in texts], [0, 1])
    torch.testing.assert_close(found.mean_SD, states_NSD.mean(0))
