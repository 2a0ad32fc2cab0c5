"""`whit inspect` shows what is trained on, also where that is a file of a teacher's texts; and a part by itself."""

import json

import pytest


def test_the_texts_of_a_file_are_shown_and_not_the_solutions(whit, tiny_model, sums, tmp_path):
    rows = [json.loads(line) for line in sums.read_text().splitlines()]
    texts = [{"prompt": row["prompt"], "completion": f"Teacher says {row['answer']}."} for row in rows]
    (tmp_path / "texts.jsonl").write_text("".join(json.dumps(row) + "\n" for row in texts))
    said = whit("inspect", "kd", f"model={tiny_model}", f"task={sums}", f"teacher={tmp_path / 'texts.jsonl'}")
    assert said.code == 0 and said.out.count("[[Teacher says ") == 3 and "rationale" not in said.out


@pytest.mark.parametrize(
    ("kind", "name", "words"),
    [
        ("objective", "uld", ("Source: ULD, arXiv:2402.12030", "between 0 and 2 a group")),
        (
            "algorithm",
            "grpo",
            ("clip, clip_high: how far", "scale: what divides an advantage", "drop_equal: "),
        ),
        ("stage", "rl", ("prompts_per_step: ", "max_tokens: of a micro-batch", "recompute: ")),
        ("verifier", "exact_number", ("Examples, as gold answer | completion", "accepts:")),
        ("stage", "kd", ("on_policy = 0.0", "pairs", "replay")),
        ("recipe", "gkd", ('terms = [{ objective = "generalised_jsd", beta = 0.5 }]', "on_policy = 0.5")),
    ],
)
def test_a_part_is_shown_with_all_that_is_said_of_it(whit, kind, name, words):
    said = whit("parts", kind, name)
    assert said.code == 0 and all(word in said.out for word in words)
    assert all(len(line) <= 80 for line in said.out.splitlines()) or kind == "recipe"


@pytest.mark.parametrize(("kind", "name", "meant"), [("recipe", "gdk", "gkd"), ("objective", "ulb", "uld")])
def test_a_part_that_is_not_there_names_the_nearest(whit, kind, name, meant):
    said = whit("parts", kind, name)
    assert said.code == 2 and f"Did you mean '{meant}'" in said.error
