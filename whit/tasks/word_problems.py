"""Grade-school word problems in a small English, generated from a dependency graph with a gold rationale for each.

Who has how many: one person is given a number, every further one depends on one or two persons before, and the
question asks for the last one, or for two together. The number of operations that the answer needs is the difficulty.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from random import Random
from typing import Literal

from whit.core.errors import DataError
from whit.core.seeds import key64, stream
from whit.core.types import Example, Split

NAMES = (
    "Ann", "Ben", "Cleo", "Dan", "Eva", "Finn", "Gia", "Hugo", "Ida", "Jon", "Kim", "Leo", "Mia", "Ned", "Olga", "Pam",
)  # fmt: skip
ITEMS = (
    "apples", "books", "cards", "coins", "cups", "eggs", "keys", "pens", "shells", "stamps", "stones", "toys",
)  # fmt: skip
TIMES = {2: "twice", 3: "three times"}
MAX_VALUE = 50
MAX_ATTEMPTS = 1000
HARDER_BY = 3  # operations that the split "ood" asks for beyond the hardest problem of the other splits
SIZES: dict[Split, int] = {"train": 20_000, "dev": 400, "test": 1_000, "ood": 400}


def word_problems(
    split: Split, *, operations: tuple[int, int] = (2, 3), size: int | None = None, seed: int = 0
) -> Iterator[Example]:
    """Problems whose answer needs between `operations[0]` and `operations[1]` operations.

    operations: the difficulty dial, both ends included; the split "ood" starts above its upper end.
    size: number of problems, all different; the default depends on the split.
    A problem's group is its computation: the graph, the operations and the numbers, without the names and the things. A
    computation belongs to exactly one of train, dev and test, by its hash: the splits are disjoint by construction.
    """
    low, high = operations
    if split == "ood":
        low, high = high + 1, high + HARDER_BY
    rng = stream(seed, "word_problems", split)
    num_problems = SIZES[split] if size is None else size
    seen: set[str] = set()
    for _ in range(num_problems):
        problem = _new_problem(rng, split, low, high, seen)
        seen.add(problem.text)
        yield Example(
            id=f"word-{split}-{key64(problem.text):016x}",
            prompt=problem.text,
            gold=str(problem.answer),
            rationale=problem.rationale,
            group=problem.computation,
            instruction="",
            metadata={"operations": problem.difficulty},
        )


def split_of(computation: str) -> Split:
    """The one split, of train, dev and test, that may use a computation: 8, 1 and 1 in 10 of them."""
    return {0: "test", 1: "dev"}.get(key64(computation) % 10, "train")  # type: ignore[return-value]


@dataclass(frozen=True, slots=True)
class _Step:
    """One person's number. kind "given" has no parents; "sum" has two; `number` is the operand of the others."""

    kind: Literal["given", "more", "fewer", "times", "sum"]
    parents: tuple[int, ...]
    number: int
    value: int


@dataclass(frozen=True, slots=True)
class _Problem:
    text: str
    rationale: str
    answer: int
    computation: str
    difficulty: int


def _new_problem(rng: Random, split: Split, low: int, high: int, seen: set[str]) -> _Problem:
    """A problem that is not in `seen`."""
    target = rng.randint(low, high)
    for attempt in range(1, 20 * MAX_ATTEMPTS):
        if attempt % MAX_ATTEMPTS == 0:  # nearly all problems of this difficulty are used
            target = rng.randint(low, high)
        asks_total = rng.random() < 0.3
        steps = _graph(rng, target + rng.randint(0, 1) - asks_total)
        last = len(steps) - 1
        asked = (rng.randrange(last), last) if asks_total and last > 0 else (last,)
        needed = _ancestors(steps, asked)
        difficulty = sum(steps[i].kind != "given" for i in needed) + (len(asked) - 1)
        if difficulty != target or sum(steps[i].value for i in asked) > MAX_VALUE:
            continue
        computation = " ".join(f"{s.kind}{','.join(map(str, s.parents))}:{s.number}" for s in steps) + f" ?{asked}"
        if split != "ood" and split_of(computation) != split:
            continue
        problem = _write(rng, steps, asked, needed, computation, difficulty)
        if problem.text not in seen:
            return problem
    raise DataError(
        f"word_problems: there are only {len(seen)} different {split} problems of {low} to {high} operations. "
        "Ask for a smaller size, or for more operations."
    )


def _graph(rng: Random, num_operations: int) -> list[_Step]:
    number = rng.randint(2, 12)
    steps = [_Step("given", (), number, number)]
    while len(steps) <= num_operations:
        kind = rng.choice(("more", "fewer", "times", "sum"))
        parent = len(steps) - 1 if rng.random() < 0.7 else rng.randrange(len(steps))
        value = steps[parent].value
        if kind == "sum":
            if len(steps) < 2:
                continue
            other = rng.choice([i for i in range(len(steps)) if i != parent])
            parents = (min(parent, other), max(parent, other))
            step = _Step("sum", parents, 0, value + steps[other].value)
        else:
            number = rng.choice((2, 3)) if kind == "times" else rng.randint(2, 9)
            result = {"more": value + number, "fewer": value - number, "times": value * number}[kind]
            step = _Step(kind, (parent,), number, result)  # type: ignore[arg-type]
        if 1 <= step.value <= MAX_VALUE:
            steps.append(step)
    return steps


def _ancestors(steps: list[_Step], asked: tuple[int, ...]) -> list[int]:
    needed = set(asked)
    for index in range(len(steps) - 1, -1, -1):
        if index in needed:
            needed.update(steps[index].parents)
    return sorted(needed)


def _write(
    rng: Random, steps: list[_Step], asked: tuple[int, ...], needed: list[int], computation: str, difficulty: int
) -> _Problem:
    names, item = rng.sample(NAMES, len(steps)), rng.choice(ITEMS)
    facts = [_fact(step, index, names, item) for index, step in enumerate(steps)]
    reasons = [_reason(steps, index, names) for index in needed]
    answer = sum(steps[i].value for i in asked)
    if len(asked) == 2:
        first, second = (f"{names[i]} {steps[i].value}" for i in asked)
        question = f"How many {item} do {names[asked[0]]} and {names[asked[1]]} have together?"
        reasons.append(f"{first} + {second} = {answer}.")
    else:
        question = f"How many {item} does {names[asked[0]]} have?"
    return _Problem(" ".join([*facts, question]), " ".join(reasons), answer, computation, difficulty)


def _fact(step: _Step, index: int, names: list[str], item: str) -> str:
    name, parents = names[index], [names[i] for i in step.parents]
    match step.kind:
        case "given":
            return f"{name} has {step.number} {item}."
        case "times":
            return f"{name} has {TIMES[step.number]} as many {item} as {parents[0]}."
        case "sum":
            return f"{name} has as many {item} as {parents[0]} and {parents[1]} together."
        case _:
            return f"{name} has {step.number} {step.kind} {item} than {parents[0]}."


def _reason(steps: list[_Step], index: int, names: list[str]) -> str:
    """A step as "Ann 3 + 2 = Ben 5.": each number stands after its owner, where the next step can look it up."""
    step = steps[index]
    result = f"{names[index]} {step.value}"
    used = [f"{names[i]} {steps[i].value}" for i in step.parents]
    match step.kind:
        case "given":
            return f"{result}."
        case "sum":
            return f"{used[0]} + {used[1]} = {result}."
        case _:
            sign = {"more": "+", "fewer": "-", "times": "*"}[step.kind]
            return f"{used[0]} {sign} {step.number} = {result}."
