"""What a training did off its task: plain text and instruction following, on a small fixed panel.

Too small to rank models by: it is there to show that a training has cost something elsewhere. The instructions are of the
kind of arXiv:2311.07911, which a program can check; the texts and the instructions were written for whit.
"""

import json
import re
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from whit.analysis.perplexity import bits_per_byte
from whit.core.errors import TemplateError
from whit.core.types import Message
from whit.data.render import Renderer
from whit.generation.engine import Engine
from whit.generation.sampler import Sampling
from whit.models.load import load_policy
from whit.stats.intervals import clustered_mean

PANEL = Path(__file__).parents[1] / "assets" / "panel.json"
MAX_NEW_TOKENS = 96


def elsewhere(path: Path, *, dtype: str, device: str, template: str | None) -> dict[str, Any]:
    """Of the model in `path`: bits_per_byte of plain text, which is the same unit for every tokenizer; instructions, the
    share followed, greedy, as [estimate, low, high]; and the answers.
    """
    policy = load_policy(path, dtype=dtype, device=device)
    limit = policy.decoder.config.max_length
    renderer = Renderer(policy.tokenizer, max_length=limit, more_stops=policy.stop_ids, template=template)
    panel = json.loads(PANEL.read_text())
    asked = panel["instructions"]
    engine = Engine(policy.decoder, renderer.stop_ids, decode=renderer.decode)
    prompts = {}
    for index, row in enumerate(asked):
        with suppress(TemplateError):  # longer than the model's context: it counts as not followed
            prompts[index] = renderer.prompt([Message("user", row["prompt"])])
    written = engine.generate(list(prompts.values()), Sampling(temperature=0.0, max_new_tokens=MAX_NEW_TOKENS))
    texts = {index: renderer.decode(group[0].ids) for index, group in zip(prompts, written, strict=True)}
    answers = [texts.get(index, "") for index in range(len(asked))]
    followed = [follows(answer, row) for answer, row in zip(answers, asked, strict=True)]
    share = clustered_mean([float(is_right) for is_right in followed], list(range(len(asked))))
    return {
        "bits_per_byte": bits_per_byte(policy, panel["text"]),
        "instructions": [share.estimate, share.low, share.high],
        "answers": [
            {"prompt": row["prompt"], "text": answer, "followed": is_right}
            for row, answer, is_right in zip(asked, answers, followed, strict=True)
        ],
    }


def follows(answer: str, row: Mapping[str, Any]) -> bool:
    """Whether an answer does what an instruction of the panel asks for; an empty one does nothing."""
    return bool(answer.strip()) and CHECKS[row["check"]](answer.strip(), row)


def _words(text: str) -> list[str]:
    return re.findall(r"[\w']+", text)


def _json(text: str, row: Mapping[str, Any]) -> bool:
    try:
        value = json.loads(text)
    except ValueError:
        return False
    return isinstance(value, dict) and value.keys() == set(row["keys"])


CHECKS: dict[str, Callable[[str, Mapping[str, Any]], bool]] = {
    "upper": lambda text, _: text.upper() == text and any(c.isalpha() for c in text),
    "lower": lambda text, _: text.lower() == text and any(c.isalpha() for c in text),
    "without": lambda text, row: row["value"] not in text,
    "without_word": lambda text, row: row["value"] not in (word.lower() for word in _words(text)),
    "starts": lambda text, row: [w.lower() for w in _words(text)[:1]] == [row["value"]],
    "ends": lambda text, row: text.lower().endswith(row["value"]),
    "words": lambda text, row: row["least"] <= len(_words(text)) <= row["most"],
    "lines": lambda text, row: len([line for line in text.splitlines() if line.strip()]) == row["value"],
    "bullets": lambda text, row: len(re.findall(r"^\* \S", text, re.MULTILINE)) == row["value"],
    "quoted": lambda text, _: len(text) > 2 and text[0] == text[-1] == '"' and '"' not in text[1:-1],
    "json": _json,
    "times": lambda text, row: [word.lower() for word in _words(text)].count(row["value"]) >= row["least"],
}
