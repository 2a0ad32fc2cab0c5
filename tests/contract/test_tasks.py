"""Every task: stable ids, splits that share nothing, gold answers that pass their verifier.

The published data are not needed: tiny files in their format, and in that of the hub, stand in for them. Where the data
are on the machine (../shared/data), they are tested too.
"""

import gzip
import json
import os
import subprocess
import sys
from functools import cache, partial
from itertools import combinations, islice
from pathlib import Path
from typing import get_args

import pytest

from whit.core import parts
from whit.core.answers import completion_text
from whit.core.errors import DataError
from whit.core.similar import near_duplicates
from whit.core.types import Example, Split
from whit.verifiers._named import max_seconds

ROOT = Path(__file__).parents[2]
REAL = ROOT.parent / "shared" / "data"
MAX_EXAMPLES = 3000  # of a split: generated ones can be long
FEWER = {"documents": 200, "key_values": 200, "mixed": 200, "needle": 200}  # long texts of few words
THINGS = ("pens", "cups", "keys", "eggs", "toys")


def story(n: int) -> str:
    return f"Ann has {n} {THINGS[n % 5]}. She buys {n + 1} more. How many {THINGS[n % 5]} does she have now?"


def solution(n: int) -> str:
    return f"She has {n} + {n + 1} = <<{n}+{n + 1}={2 * n + 1}>>{2 * n + 1}.\n#### {2 * n + 1:,}"


def label(n: int) -> str:
    return ("NUM", "LOC", "HUM")[n % 3]


def function(n: int) -> str:
    return f"def {THINGS[n % 5]}_{n}(x):\n    return x + {n}\n"


def asked(n: int) -> str:
    return f"Write a function {THINGS[n % 5]}_{n} that adds {n} {THINGS[n % 5]} to x."


def program(n: int) -> dict:
    tests = [f"assert {THINGS[n % 5]}_{n}({x}) == {x + n}" for x in (1, n)]
    return {"task_id": n, "test_list": tests, "test_setup_code": ""}


def signature(n: int) -> dict:
    name = f"less_{n}"
    return {
        "task_id": f"HumanEval/{n}",
        "prompt": f'ZERO = 0\n\n\ndef {name}(x):\n    """ {n} {THINGS[n % 5]} less than x """\n',
        "entry_point": name,
        "canonical_solution": f"    return x - {n}\n",
        "test": f"def check(candidate):\n    assert candidate(ZERO) == -{n}\n    assert candidate({n}) == 0\n",
    }


PROGRAMS = [*range(1, 21), *range(505, 521), *range(595, 611)]  # 20 train, 16 dev, 16 test
OUTPUTS = [
    {"id": f"sample_{n}", "code": f"def f(x):\n    return [x] * {n}", "input": f"'{n}'", "output": f"{[str(n)] * n}"}
    for n in range(20)
]


def sides(n: int) -> str:
    return f"The {THINGS[n % 5]} of a box cost ${n}$ each. Find the cost of half of one."


def kinds(n: int) -> str:
    return f"Every {THINGS[n % 5][:-1]}{n} is a thing{n}. Rex is a {THINGS[n % 5][:-1]}{n}."


def statement(n: int) -> dict[str, object]:
    """As Logic-LM publishes them."""
    asked = "Based on the above information, is the following statement true, false, or uncertain? Rex is a thing{}."
    options = ["A) True", "B) False", "C) Uncertain"]
    return {"id": f"s{n}", "context": kinds(n), "question": asked.format(n), "options": options, "answer": "ABC"[n % 3]}


def options(n: int, opened: str) -> list[str]:
    return [f"{opened}{letter}) {n + place} pens" for place, letter in enumerate("ABCDE")]


ALGEBRA = [{"question": story(n), "options": options(n, ""), "answer": "B", "solution": "Add."} for n in range(300)]
OLYMPIC = [
    {"problem": sides(n), "solution": f"It is $\\boxed{{\\frac{{{n}}}{{2}}}}$.", "answer": f"\\frac{{{n}}}{{2}}",
     "subject": "Algebra", "level": n % 5 + 1}
    for n in range(700)
]  # fmt: skip
STATEMENTS = [statement(n) for n in range(300)]
SUMS = [{"question": story(n), "answer": f"{2 * n + 1}"} for n in range(600)]
KINDS = [{"text": f"Question {n} of them ?", "label": label(n), "fine_label": "x:y"} for n in range(600)]
WANTS = ("card_arrival", "lost_card", "new_pin")


def wish(n: int) -> dict[str, object]:
    return {"text": f"My {THINGS[n % 5]} cost me {n} pounds?", "label": WANTS[n % 3]}


def opinion(n: int) -> dict[str, object]:
    return {"text": f"a film of {n} {THINGS[n % 5]} .", "label": ("positive", "negative")[n % 2]}


PUBLISHED = {
    "gsm8k/train": [{"question": story(n), "answer": f"{2 * n + 1:,}", "solution": solution(n)} for n in range(600)],
    "gsm8k/test": [
        {"question": story(n), "answer": f"{2 * n + 1:,}", "solution": solution(n)} for n in range(600, 650)
    ],
    "multiarith/all": [*SUMS[:350], *SUMS[:20]],
    "svamp/test": [
        {
            "id": f"chal-{n}",
            "question": story(n),
            "question_only": "How many?",
            "body": "Ann",
            "answer": f"{2 * n + 1}.0",
        }
        for n in range(50)
    ],
    "asdiv/all": [
        {"question": story(n), "question_only": "How many?", "body": "Ann", "answer": f"{2 * n + 1}  (pens)"}
        for n in range(300, 600)
    ]
    + [{"question": "Who?", "answer": "Ann"}, {"question": "Which?", "answer": "3 (pens); 4 (cups)"}],
    "trec/train": [*KINDS[:550], *KINDS[:10]],
    "trec/test": KINDS[540:],
    "banking77/train": [wish(n) for n in [*range(300), 0, 299]],
    "banking77/test": [wish(n) for n in range(290, 400)],
    "clinc150_small/train": [*map(wish, range(200)), {"text": "What is this?", "label": "oos"}],
    "clinc150_small/val": [wish(n) for n in range(190, 260)],
    "clinc150_small/test": [wish(n) for n in range(250, 300)],
    "sst2/train": [opinion(n) for n in range(100)],
    "sst2/dev": [opinion(n) for n in range(100, 130)],
    "sst2/test": [opinion(n) for n in range(120, 160)],
    "mbpp/all": [program(n) | {"prompt": asked(n), "canonical_solution": function(n)} for n in PROGRAMS],
    "humaneval/test": [signature(n) for n in range(20)],
    "cruxeval/test": OUTPUTS,
    "aqua/train_cot_subset": [
        {"question": f"{story(n)}\\nOptions:\\n" + "\\n".join(options(n, "(")), "answer": "(B)", "solution": "a\\nb"}
        for n in range(220)
    ],
    "aqua/dev": ALGEBRA[200:260],
    "aqua/test": ALGEBRA[250:],
    "math/train": [*OLYMPIC[:650], {**OLYMPIC[650], "answer": "", "solution": "\\boxed{}"}],
    "math/test": OLYMPIC[640:],
    "proofwriter/train": [*STATEMENTS[:200], STATEMENTS[0]],
    "proofwriter/dev": STATEMENTS[200:250],
    "proofwriter/test": STATEMENTS[250:],
    "folio/train": STATEMENTS[:250],
    "folio/dev": STATEMENTS[250:],
    "prontoqa/dev": [
        {**row, "options": ["A) True", "B) False"], "answer": "AB"[n % 2], "solution": ["One.", "Two."]}
        for n, row in enumerate(STATEMENTS)
    ],
    "lost_in_middle/nq_oracle": [
        {
            "id": f"nq-{n}",
            "question": f"who made the {THINGS[n % 5]} of number {n}",
            "answers": [f"Maker {n}", f"M{n}"],
            "gold_title": f"Title {n}",
            "gold_text": f"The {THINGS[n % 5]} of number {n} were made by Maker {n} in {1000 + n}.",
        }
        for n in range(200)
    ],
}
ON_THE_HUB = {
    "gsm8k/train": [{"question": story(n), "answer": solution(n)} for n in range(600)],
    "gsm8k/test": [{"question": story(n), "answer": solution(n)} for n in range(600, 650)],
    "multiarith/all": [{"question": f" {row['question']}", "final_ans": row["answer"]} for row in SUMS[:350]],
    "svamp/test": [
        {"ID": f"chal-{n}", "Body": story(n).split(" How")[0], "Question": "How many now?", "Answer": f"{2 * n + 1}.0"}
        for n in range(50)
    ],
    "asdiv/all": [
        {"body": story(n).split(" How")[0], "question": "How many now?", "answer": f"{2 * n + 1} (pens)"}
        for n in range(300, 600)
    ],
    "trec/train": [{"text": r["text"], "label": 3, "label_coarse_original": r["label"]} for r in KINDS[:550]],
    "trec/test": [{"text": r["text"], "label": 3, "label_coarse_original": r["label"]} for r in KINDS[540:]],
    **{
        f"banking77/{split}": [{**wish(n), "label": n % 3, "label_text": WANTS[n % 3]} for n in range(*ends)]
        for split, ends in (("train", (0, 300)), ("test", (290, 400)))
    },
    **{
        f"clinc150_small/{split}": [
            {"text": wish(n)["text"], "intent": n % 3, "intent_text": WANTS[n % 3]} for n in range(*ends)
        ]
        for split, ends in (("train", (0, 200)), ("val", (200, 250)), ("test", (250, 300)))
    },
    **{
        f"sst2/{split}": [{**opinion(n), "label": n % 2, "label_text": opinion(n)["label"]} for n in range(*ends)]
        for split, ends in (("train", (0, 100)), ("dev", (100, 130)), ("test", (130, 160)))
    },
    "mbpp/all": [program(n) | {"text": asked(n), "code": function(n)} for n in PROGRAMS],
    "humaneval/test": [signature(n) for n in range(20)],
    "cruxeval/test": OUTPUTS,
    **{
        name: [{"question": r["question"], "options": r["options"], "correct": "B", "rationale": "Add."} for r in rows]
        for name, rows in (
            ("aqua/train_cot_subset", ALGEBRA[:220]),
            ("aqua/dev", ALGEBRA[200:260]),
            ("aqua/test", ALGEBRA[250:]),
        )
    },
    "math/train": [{"problem": r["problem"], "solution": r["solution"], "level": "Level 3"} for r in OLYMPIC[:650]],
    "math/test": OLYMPIC[640:],
    **{
        f"proofwriter/{split}": [
            {"theory": r["context"], "question": f"Rex is a thing{n}.", "answer": ("True", "False", "Unknown")[n % 3]}
            for n, r in enumerate(rows)
        ]
        for split, rows in (("train", STATEMENTS[:200]), ("dev", STATEMENTS[200:250]), ("test", STATEMENTS[250:]))
    },
    **{
        f"folio/{split}": [
            {
                "premises": r["context"],
                "conclusion": f"Rex is a thing{n}.",
                "label": ("True", "False", "Uncertain")[n % 3],
            }
            for n, r in enumerate(rows)
        ]
        for split, rows in (("train", STATEMENTS[:250]), ("dev", STATEMENTS[250:]))
    },
    "prontoqa/dev": [
        {**row, "options": ["A) True", "B) False"], "answer": "AB"[n % 2]} for n, row in enumerate(STATEMENTS)
    ],
}
STORED = (
    "aqua", "banking77", "clinc150", "code_output", "documents", "folio", "gsm8k", "humaneval", "math", "mbpp",
    "multiarith", "prontoqa", "proofwriter", "sst2", "svamp", "trec",
)  # fmt: skip
NEEDED: dict[str, dict] = {
    "reasoning_gym": {"dataset": "chain_sum"},
    "mixed": {"of": ({"name": "key_values"}, {"name": "needle"})},
}  # settings that a task cannot do without
# Problems that may not be kept beside the others, and a file that the hub has not.
NOT_HERE = {("real", "math"), ("on the hub", "documents")}
CASES = [("published", name) for name in parts.names("task")]
CASES += [(form, name) for form in ("on the hub", "real") for name in STORED if (form, name) not in NOT_HERE]


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folders = {"real": REAL}
    for form, files in {"published": PUBLISHED, "on the hub": ON_THE_HUB}.items():
        folders[form] = tmp_path_factory.mktemp(form.replace(" ", "_"))
        for name, rows in files.items():
            file = folders[form] / f"{name}.jsonl.gz"
            file.parent.mkdir(exist_ok=True)
            file.write_bytes(gzip.compress("".join(json.dumps(row) + "\n" for row in rows).encode()))
    return folders


@pytest.fixture(params=CASES, ids=lambda case: f"{case[1]}, {case[0]}")
def task(request, folders, monkeypatch) -> dict[Split, list[Example]]:
    form, name = request.param
    if form == "real" and not REAL.is_dir():
        pytest.skip(f"no data in {REAL}")
    monkeypatch.setenv("WHIT_DATA", str(folders[form]))
    try:
        return load(name, str(folders[form]))
    except DataError as error:
        if name in STORED:
            raise
        pytest.skip(str(error))


@cache
def load(name: str, folder: str) -> dict[Split, list[Example]]:
    return fresh(name)


def fresh(name: str) -> dict[Split, list[Example]]:
    part = partial(parts.find("task", name), **NEEDED.get(name, {}))
    count = FEWER.get(name, MAX_EXAMPLES)
    return {split: list(islice(part(split), count)) for split in get_args(Split)}


def every(task: dict[Split, list[Example]]) -> list[Example]:
    return [example for examples in task.values() for example in examples]


def some(examples: list[Example]) -> list[Example]:
    is_slow = examples and max_seconds(examples[0].verifier) is not None
    return examples[:60] if is_slow else examples


def sampled(task: dict[Split, list[Example]]) -> list[Example]:
    """All, or a few of each split where a verdict needs a proof."""
    return [e for examples in task.values() for e in some(examples)]


def test_train_dev_and_test_hold_examples_with_different_ids(task):
    assert all(task[split] for split in ("train", "dev", "test"))
    assert len({example.id for example in every(task)}) == len(every(task))


@pytest.mark.parametrize("name", parts.names("task"))
def test_the_same_examples_come_every_time(name, folders, monkeypatch):
    monkeypatch.setenv("WHIT_DATA", str(folders["published"]))
    try:
        assert fresh(name) == fresh(name)
    except DataError as error:
        pytest.skip(str(error))


def test_no_group_stands_in_two_splits(task):
    for one, other in combinations(task.values(), 2):
        assert not {example.group for example in one} & {example.group for example in other}


def test_no_near_duplicate_stands_in_two_splits(task):
    homes = [split for split, examples in task.items() for _ in examples]
    prompts = [example.prompt for example in every(task)]
    across = [(prompts[i], prompts[j]) for i, j in near_duplicates(prompts) if homes[i] != homes[j]]
    assert across == []


def test_the_gold_answer_passes_its_verifier_and_nothing_fails_it(task, request):
    examples = every(task)
    if {example.verifier for example in examples} == {"python_tests"}:
        request.getfixturevalue("sandbox")
        examples = examples[:: 1 + len(examples) // 60]  # tests/verifiers/test_python_tests.py runs them all
    else:
        examples = sampled(task)
    for example in examples:
        verifier = parts.find("verifier", example.verifier)
        assert verifier(completion_text(example), example).strict, example
        assert verifier(completion_text(example, with_rationale=False), example).strict, example
        assert not verifier("", example).correct, example


def test_the_text_is_clean(task):
    for example in every(task):
        assert example.prompt == example.prompt.strip() != ""
        assert not example.rationale or not {"####", "<<"} & set(example.rationale.split())
        assert example.verifier != "choice" or example.gold in example.choices


def test_the_published_rows_give_this_many_different_questions(folders, monkeypatch):
    monkeypatch.setenv("WHIT_DATA", str(folders["published"]))
    tasks = {name: load(name, str(folders["published"])) for name in STORED}
    groups = {name: [len({e.group for e in task[s]}) for s in ("train", "dev", "test")] for name, task in tasks.items()}
    assert groups == {
        "code_output": [20, 16, 20],  # those of train and dev are the calls of as many programs
        "gsm8k": [100, 500, 50],
        "humaneval": [20, 16, 20],
        "mbpp": [20, 16, 16],
        "multiarith": [210, 35, 105],  # 60%, 10% and 30% of 350
        "svamp": [250, 300, 50],  # 600 different questions less the 50 of test; the two without one number left out
        "trec": [40, 500, 60],  # 550 less the 10 that are in test
        "aqua": [200, 50, 50],  # 220 less the 20 that are in dev; 60 less the 10 that are in test
        "math": [140, 500, 60],  # 650 less the 10 that are in test; the empty box is skipped
        "proofwriter": [200, 50, 50],
        "folio": [200, 50, 50],
        "prontoqa": [150, 30, 120],
        "documents": [100, 20, 80],
        "banking77": [260, 30, 110],  # 300 less the 10 that are in test
        "clinc150": [190, 60, 50],  # without what is in val and test, and without the request out of scope
        "sst2": [100, 20, 40],
    }
    assert len(every(tasks["multiarith"])) == 370  # what occurs twice is kept twice, in one split
    assert len(every(tasks["trec"])) == 610


def test_the_calculator_notes_can_be_kept(folders):
    gsm8k = parts.find("task", "gsm8k")
    assert next(gsm8k("test", path=folders["published"])).rationale == "She has 600 + 601 = 1201."
    kept = next(gsm8k("test", path=folders["published"], keep_notes=True))
    assert kept.rationale == "She has 600 + 601 = <<600+601=1201>>1201."


def test_a_path_without_the_rows_is_an_error(tmp_path):
    with pytest.raises(DataError, match=r"there is no gsm8k/test\.jsonl\.gz or gsm8k/test\.jsonl in"):
        next(parts.find("task", "gsm8k")("test", path=tmp_path))


@pytest.mark.slow  # 3 s: a process of its own, so that the hub is known to be offline
def test_without_data_the_error_names_the_three_ways_at_once_and_alone(tmp_path, monkeypatch):
    script = "from whit.tasks.gsm8k import gsm8k; next(gsm8k('test'))"
    nowhere = {"HF_ENDPOINT": "http://localhost:1", "HF_HUB_OFFLINE": "0"}  # a hub that does not answer
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    env = {**os.environ, **nowhere, "HF_HOME": str(tmp_path), "WHIT_DATA": str(tmp_path)}
    run = subprocess.run([sys.executable, "-c", script], env=env, cwd=ROOT, capture_output=True, text=True, check=False)
    message = run.stderr.splitlines()[-1]
    assert "no network, and not in the cache" in message and "Retrying" not in run.stderr
    assert all(
        way in message for way in ("DataError", "Set the task's path", "$WHIT_DATA", "'openai/gsm8k' from the hub")
    )
