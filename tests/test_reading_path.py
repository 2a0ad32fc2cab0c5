"""The eight files that show a newcomer the system: they exist, they are short, and the README names them in order."""

from pathlib import Path

ROOT = Path(__file__).parents[1]
READING_PATH = (
    "whit/core/types.py",
    "whit/objectives/reverse_kl.py",
    "whit/algorithms/grpo.py",
    "whit/training/loop.py",
    "whit/training/signals.py",
    "whit/stages/sft.py",
    "whit/recipes/pipeline.py",
    "whit/study/compare.py",
)
MAX_LINES = 1300


def test_the_reading_path_is_short():
    lengths = {name: len((ROOT / name).read_text().splitlines()) for name in READING_PATH}
    print(lengths)
    assert sum(lengths.values()) < MAX_LINES


def test_the_readme_names_the_reading_path_in_order():
    readme = (ROOT / "README.md").read_text()
    places = [readme.find(name.removeprefix("whit/")) for name in READING_PATH]
    assert -1 not in places, [name for name, place in zip(READING_PATH, places, strict=True) if place < 0]
    assert places == sorted(places)
