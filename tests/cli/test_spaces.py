"""`whit space` and `whit icl` as a user meets them: on a file of their own, what they say, what they refuse at once."""

import json
import re
import shutil

import pytest
import torch
from safetensors.torch import load_file, save_file

FAST = ("--pairs", "examples", "--contexts", 3, "--device", "cpu")


@pytest.fixture
def own(things):
    """A user's file of three labels, in columns that have to be named."""
    return "--task", things(90, "said", "kind"), "--columns", "prompt=said,answer=kind"


def test_icl_says_each_way_and_how_they_differ_item_by_item(whit, tiny_model, own):
    said = whit("icl", tiny_model, *own, *FAST, "--items", 50, "--bank", 30, "--layers", 0, "--max-new-tokens", 2)
    assert said.code == 0, said.err
    lines = said.out.splitlines()
    assert max(map(len, lines)) <= 80 and lines[0].endswith("30 examples in the bank, 3 labels")
    pairs = [line.split()[:3] for line in lines if " less " in line]
    assert pairs == [[a, "less", b] for a, b in (
        ("texts", "zero-shot"), ("ic-icl", "zero-shot"), ("random", "zero-shot"), ("ic-icl", "random"),
    )]  # fmt: skip
    assert any(line.startswith("pushed after layers 0;") for line in lines)
    assert "all of them are asked" in said.err and "68 train, 10 dev and 12 test" in " ".join(said.err.split())


def test_the_intervals_of_a_way_against_itself_hold_0(whit, tiny_model, own):
    said = whit("icl", tiny_model, *own, *FAST, "--bank", 30, "--strength", 0, "--max-new-tokens", 2, "--json")
    gains = {(gain["a"], gain["b"]): gain["difference"] for gain in json.loads(said.out)["gains"]}
    for pair in (("ic-icl", "zero-shot"), ("ic-icl", "random")):
        assert gains[pair]["estimate"] == 0 and gains[pair]["low"] < 0 < gains[pair]["high"]


def test_space_takes_a_table_and_says_on_how_many_texts_the_probe_was_judged(whit, tiny_model, own, tmp_path):
    pytest.importorskip("matplotlib")
    table = f'{{name = "{own[1]}", columns = "{own[3]}"}}'
    said = whit("space", tiny_model, tmp_path / "space", "--task", table, *FAST, "--items", 36)
    assert said.code == 0, said.err
    assert "built of 18 texts; probe: 9 to fit, 9 to judge" in said.out
    assert (tmp_path / "space" / "space.html").exists() and max(map(len, said.out.splitlines()[:-1])) <= 80


def test_space_beside_that_of_before_a_training_is_asked_in_both_directions(whit, tiny_model, own, tmp_path):
    pytest.importorskip("matplotlib")
    asked = ("space", tiny_model, tmp_path / "old", *own, *FAST, "--items", 36)
    assert whit(*asked).code == 0
    said = whit("space", tiny_model, tmp_path / "new", *own, *FAST, "--items", 36, "--before", tmp_path / "old")
    assert said.code == 0, said.err
    rows = [line.split() for line in said.out.splitlines() if re.match(r" +\d+  ", line)]
    assert len(rows) == 2 and all(row[1:4] == row[4:7] == row[7:10] for row in rows)  # nothing was trained in between
    assert json.loads((tmp_path / "old" / "profile.json").read_text()) == json.loads(
        (tmp_path / "new" / "profile.json").read_text()
    )
    page = (tmp_path / "new" / "space.html").read_text()
    assert page.count("<figure>") == 3
    assert max(map(len, said.out.splitlines()[:-1])) <= 80


def test_the_same_directions_tell_what_a_training_moved(whit, tiny_model, own, tmp_path):
    """Noise on the embeddings stands for the training."""
    pytest.importorskip("matplotlib")
    noisy = shutil.copytree(tiny_model, tmp_path / "noisy")
    weights = load_file(noisy / "model.safetensors")
    name = next(name for name in weights if "embed" in name)
    weights[name] += torch.randn(weights[name].shape, generator=torch.Generator().manual_seed(0)) * weights[name].std()
    save_file(weights, noisy / "model.safetensors", metadata={"format": "pt"})
    assert whit("space", tiny_model, tmp_path / "old", *own, *FAST, "--items", 36).code == 0
    said = whit("space", noisy, tmp_path / "new", *own, *FAST, "--items", 36, "--before", tmp_path / "old")
    row = next(line.split() for line in said.out.splitlines() if re.match(r" +1  ", line))
    own_kept, before_kept, moved_kept = row[3], row[6], row[9]
    assert before_kept == f"{json.loads((tmp_path / 'old' / 'profile.json').read_text())['kept'][1]:.0%}"
    assert len({own_kept, before_kept, moved_kept}) == 3
    kept = json.loads((tmp_path / "new" / "profile-directions-of-before.json").read_text())["kept"][1]
    assert moved_kept == f"{kept:.0%}"


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        (("--template", "plain"), "was made with template of the model. Give the same --template"),
        (("--method", "mean"), "was made with method pca. Give the same --method"),
    ],
)
def test_a_space_that_was_made_otherwise_is_no_space_of_before(whit, tiny_model, own, tmp_path, changed, told):
    pytest.importorskip("matplotlib")
    asked = (*own, *FAST, "--items", 36)
    assert whit("space", tiny_model, tmp_path / "old", *asked).code == 0
    said = whit("space", tiny_model, tmp_path / "new", *asked, "--before", tmp_path / "old", *changed)
    assert said.code == 1 and told in " ".join(said.err.split())


def test_a_space_of_other_labels_is_no_space_of_before(whit, tiny_model, own, tmp_path):
    pytest.importorskip("matplotlib")
    assert whit("space", tiny_model, tmp_path / "old", *own, *FAST, "--items", 36).code == 0
    record = tmp_path / "old" / "space.json"
    record.write_text(record.read_text().replace('"fruit"', '"food"'))
    said = whit("space", tiny_model, tmp_path / "new", *own, *FAST, "--items", 36, "--before", tmp_path / "old")
    assert said.code == 1 and "is a space of bird, food, tool" in " ".join(said.err.split())


def test_directions_of_before_are_read_around_the_mean_of_now(whit, tiny_model, own, tmp_path):
    """The mean of before is moved far away: nothing that is read by its directions changes."""
    pytest.importorskip("matplotlib")
    asked = (*own, *FAST, "--items", 36)
    assert whit("space", tiny_model, tmp_path / "old", *asked).code == 0
    tensors = load_file(tmp_path / "old" / "space.safetensors")
    save_file({**tensors, "mean_SD": tensors["mean_SD"] + 100}, tmp_path / "old" / "space.safetensors")
    said = whit("space", tiny_model, tmp_path / "new", *asked, "--before", tmp_path / "old")
    rows = [line.split() for line in said.out.splitlines() if re.match(r" +\d+  ", line)]
    assert len(rows) == 2 and all(row[1:4] == row[7:10] for row in rows)


def test_a_space_of_other_texts_or_none_is_no_space_of_before(whit, tiny_model, own, tmp_path):
    pytest.importorskip("matplotlib")
    asked = ("space", tiny_model, tmp_path / "old", *own, *FAST, "--items", 36)
    assert whit(*asked).code == 0
    others = whit(
        "space", tiny_model, tmp_path / "new", *own, *FAST, "--items", 36, "--seed", 1, "--before", tmp_path / "old"
    )
    assert others.code == 1 and "read from other texts" in " ".join(others.err.split())
    none = whit("space", tiny_model, tmp_path / "new", *own, *FAST, "--items", 36, "--before", tmp_path / "none")
    assert none.code == 1 and "holds no task space" in " ".join(none.err.split())
    over = whit(*asked, "--before", tmp_path / "old")
    assert over.code != 0 and "written over" in " ".join(over.err.split())


@pytest.mark.parametrize(
    ("asked", "told"),
    [
        (("icl", "MODEL", "OWN", "--bank", 4), "3 labels, and each takes 3 examples"),
        (("icl", "MODEL", "OWN", "--layers", "1-0"), "--layers 1-0"),
        (("icl", "MODEL", "OWN", "--layers", "7"), "there is no layer 7. Give some of 0 to 1"),
        (("icl", "MODEL", "SUMS"), "none of the labels"),
        (("space", "MODEL", "FILE", "OWN"), "is a file, and a space is kept in a directory"),
        (("space", "MODEL", "DIR", "OWN", "--items", 8), "each takes 4 examples"),
        (("space", "MODEL", "DIR", "SUMS"), "none of the labels"),
    ],
)
def test_what_cannot_be_is_refused_in_one_line_before_the_model_reads_anything(
    whit, tiny_model, sums, own, tmp_path, asked, told
):
    names = {"MODEL": [tiny_model], "OWN": own, "SUMS": ("--task", sums), "FILE": [own[1]], "DIR": [tmp_path / "space"]}
    words = [word for one in asked for word in names.get(one, [one])]
    said = whit(*words, *FAST)
    assert said.code in (1, 2) and told in " ".join(said.err.split())
    assert "building the space" not in said.err or "layer 7" in told
