"""A reward, a shaping, a curriculum of one's own: what is wrong with it is named, before a weight is trained."""

import re
from pathlib import Path

import pytest

from whit.core.errors import PartError, RecipeError, RunError, WhitError
from whit.core.own import Named
from whit.core.parts import find
from whit.core.types import Answered, Example
from whit.curricula._types import Curriculum
from whit.recipes.recipe import Recipe
from whit.stages._own import checked_shaping, made_curriculum, made_reward, made_shapings, try_out

EXAMPLES = [Example(str(n), f"{n}?", str(n)) for n in range(10)]
HEAD = "from whit.curricula._types import Curriculum\n\nclass Mine(Curriculum):\n"


@pytest.fixture
def mine(tmp_path):
    """The name of `mine` in a file of this text."""
    count = iter(range(100))

    def mine(text: str, name: str = "mine") -> str:
        file = tmp_path / f"own{next(count)}.py"
        file.write_text(text)
        return f"{file}:{name}"

    return mine


def tried(kind: str, spec: object, sums: Path) -> None:
    stage = {
        "kind": "rl",
        "prompts_per_step": 4,
        "reward": "accuracy",
        "shaping": (),
        "curriculum": "epochs",
        kind: spec,
    }
    try_out(stage, str(sums), "stage.3", seed=0)


# Rewards.


def test_a_reward_of_one_s_own_is_called_and_its_numbers_become_floats(mine):
    import numpy as np

    assert made_reward(mine("def mine(verdict, text):\n    return len(text)\n"), "stage.1.reward")(None, "abc") == 3.0
    value = made_reward(mine("import numpy as np\ndef mine(verdict, text):\n    return np.float32(2)\n"), "r")(None, "")
    assert isinstance(value, float) and not isinstance(value, np.float32)


@pytest.mark.parametrize("outer", ["weighted", "gated"])
def test_a_reward_inside_another_is_named_with_its_line(outer, mine, sums):
    own = mine("def mine(verdict, text):\n    return 1 / 0\n")
    spec = {"name": outer, **({"of": [{"reward": own}]} if outer == "weighted" else {"reward": own})}
    with pytest.raises(
        RunError, match=rf"^stage\.3\.reward: {outer} raised ZeroDivisionError: .* \(own0\.py, line 2\)"
    ):
        tried("reward", spec, sums)


@pytest.mark.parametrize("outer", ["weighted", "gated"])
def test_a_reward_inside_another_gives_a_number(outer, mine, sums):
    own = mine("def mine(verdict, text):\n    return [1.0]\n")
    spec = {"name": outer, **({"of": [{"reward": own}]} if outer == "weighted" else {"reward": own})}
    with pytest.raises(PartError, match=rf"reward {outer}: '\S+:mine' gave \[1\.0\] for the text .* a finite number"):
        tried("reward", spec, sums)


# Shapings.


@pytest.mark.parametrize(
    ("body", "error", "message"),
    [
        ("[a.rewrd for a in answers]", RunError, "raised AttributeError: 'Answered' object has no attribute 'rewrd' (own"),
        ("[1.0]", PartError, "gave [1.0] for a group of 4 rollouts. It has to give a finite number for each."),
        ("None", PartError, "gave None for a group of 4 rollouts."),
        ("['a'] * len(answers)", PartError, "gave ['a', 'a', 'a', 'a'] for"),
    ],
)  # fmt: skip
def test_a_shaping_that_does_not_fit_is_named(body, error, message, mine, sums):
    with pytest.raises(error, match=r"^stage\.3\.shaping\.2: \S+own0\.py:mine .*" + re.escape(message)):
        tried("shaping", ("repetition", mine(f"def mine(answers):\n    return {body}\n")), sums)


def test_shapings_are_one_or_a_list():
    assert len(made_shapings("repetition", "s")) == len(made_shapings({"name": "repetition"}, "s")) == 1
    assert len(made_shapings(["repetition", "shorter_right"], "s")) == 2 and made_shapings((), "s") == []


def test_the_shape_of_an_algorithm_is_checked_too():
    shape = checked_shaping(Named(lambda answers: [], "stage.1.algorithm", "its shape", is_own=False))
    with pytest.raises(PartError, match=r"^stage\.1\.algorithm: its shape gave \[\] for a group of 1 rollouts"):
        shape([Answered(1.0, True, 1, 2)])


# Curricula.


@pytest.mark.parametrize(
    ("chosen", "message"),
    [
        ("'abc'", "chose 'abc', which is no list of places."),
        ("[0, 99]", "chose 99, and there is no such place."),
        ("[-1]", "chose -1, and there is no such place."),
        ("[0.5]", "chose 0.5, which is no whole number."),
        ("[0] * count", "chose 0 more than once in [0, 0, 0, 0]."),
        ("list(range(count + 1))", "chose 5 prompts."),
        ("[]", "chose no prompt."),
        ("None", "chose None, which is no list of places."),
    ],
)
def test_what_a_curriculum_may_not_choose(chosen, message, mine, sums):
    name = mine(f"{HEAD}    def choose(self, count):\n        return {chosen}\n", "Mine")
    told = (
        f"{message} `choose` has to give different places among the 40 examples, whole numbers from 0 to 39: at least one, "
        "and at most the 4 that it is asked for."
    )
    with pytest.raises(PartError, match=r"^stage\.3\.curriculum: \S+own0\.py:Mine " + re.escape(told) + "$"):
        tried("curriculum", name, sums)


@pytest.mark.parametrize(
    ("text", "name", "error", "message"),
    [
        ("def mine(examples, seed):\n    return [1]\n", "mine", PartError, "gave [1], and a curriculum is a subclass of"),
        (HEAD + "    def draw(self, count):\n        return [0]\n", "Mine", PartError, "overrides neither"),
        (HEAD + "    def choose(self, count):\n        return self.nothing\n", "Mine", RunError,
         "raised AttributeError: 'Mine' object has no attribute 'nothing' (own0.py, line 5) in choose."),
        (HEAD + "    def see(self, tried):\n        tried[0].rate\n", "Mine", RunError,
         "raised AttributeError: 'Tried' object has no attribute 'rate' (own0.py, line 5) in see."),
        (HEAD + "    def __init__(self, examples, seed):\n        self.n = 0\n\n    def choose(self, count):\n"
                "        return [0]\n", "Mine", PartError, "does not call super().__init__(examples, seed)"),
        (HEAD + "    def see(self, tried):\n        pass\n\n    def state(self):\n        return {'x': {1}}\n",
         "Mine", PartError, "has a state() that is no JSON"),
        (HEAD + "    def see(self, tried):\n        pass\n\n    def numbers(self):\n        return {'x': 'much'}\n",
         "Mine", PartError, "has numbers() that give {'x': 'much'}"),
    ],
)  # fmt: skip
def test_what_is_no_curriculum_is_named(text, name, error, message, mine, sums):
    with pytest.raises(error, match=r"^stage\.3\.curriculum: \S+own0\.py:\w+ .*" + re.escape(message)):
        tried("curriculum", mine(text, name), sums)


def test_a_curriculum_of_one_s_own_that_is_right_is_asked_as_it_is(mine, sums):
    text = HEAD + "    def choose(self, count):\n        return range(count)\n"
    tried("curriculum", mine(text, "Mine"), sums)
    made = made_curriculum(mine(text, "Mine"), EXAMPLES, 0, "c")
    assert isinstance(made, Curriculum) and made.choose(3) == [0, 1, 2] and made.name == "curriculum"


def test_whit_s_own_curricula_are_left_as_they_are_and_refused_where_the_task_does_not_fit(sums):
    plain = find("curriculum", "difficulty")(EXAMPLES, 0)
    checked = made_curriculum("difficulty", EXAMPLES, 0, "c")
    assert checked.choose(5) == plain.choose(5) and checked.state() == plain.state()
    with pytest.raises(RecipeError, match="the task has no domain 'algebra'"):
        tried("curriculum", {"name": "mixture", "shares": {"algebra": 1.0}}, sums)


@pytest.mark.parametrize("name", ["dads", "mixture"])
def test_one_domain_is_worth_a_warning(name):
    assert "all examples are of one domain" in made_curriculum(name, EXAMPLES, 0, "c").note
    two = [*EXAMPLES, Example("x", "?", "1", metadata={"domain": "other"})]
    assert not made_curriculum(name, two, 0, "c").note


# What a recipe is refused for when it is read.


@pytest.mark.parametrize(
    ("kind", "text", "message"),
    [
        ("reward", "def mine(text):", "mine takes (text), and a reward is given (verdict, text). Set"),
        ("reward", "def mine(verdict, text, scale):", "mine takes (verdict, text, scale), and a reward is given ("),
        ("reward", "def mine(completions, **more):", "this is a TRL-style function of completions: write task = {"),
        ("reward", "def mine(completion, example):", "this is a function of a completion: write task = {"),
        ("shaping", "def mine(rewards, lengths):", "mine takes (rewards, lengths), and a shaping is given (answers)."),
        ("curriculum", "def mine(count):", "mine takes (count), and a curriculum is given (examples, seed)."),
        ("reward", "mine = 3; 0 and", "mine is no function, but 3."),
    ],
)  # fmt: skip
def test_a_signature_that_does_not_fit_is_refused_when_the_recipe_is_read(kind, text, message, mine):
    name = mine(f"{text} 0\n")
    with pytest.raises(RecipeError, match=rf"^stage\.1\.{kind}: \S+own0\.py:" + ".*" + re.escape(message)):
        Recipe.make({"name": "r", "stage": [{"kind": "rl", kind: name}]})


@pytest.mark.parametrize(
    "text", ["def mine(v, t, *, scale: float = 1.0):", "def mine(*given):", "def mine(v, t, more=1):"]
)
def test_a_signature_that_fits_is_taken_whatever_its_names(text, mine):
    assert Recipe.make({"name": "r", "stage": [{"kind": "rl", "reward": mine(f"{text} return 0\n")}]})


@pytest.mark.parametrize("kind", ["rl", "hybrid"])
@pytest.mark.parametrize(
    ("name", "value", "needed"), [("temperature", 0, "more than 0"), ("top_k", 50, "0"), ("top_p", 0.9, "1")]
)
def test_sampling_that_is_not_plain_is_refused_when_the_recipe_is_read(kind, name, value, needed):
    with pytest.raises(WhitError) as raised:
        Recipe.make({"name": "r", "stage": [{"kind": kind, "sampling": {name: value}}]})
    assert str(raised.value) == (
        f"stage.1.sampling.{name}: given {value}; the stage {kind} needs {needed}: its ratio assumes plain sampling."
    )
