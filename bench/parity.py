"""Scores of a model against lm-evaluation-harness, item by item, greedy, float32.

`python bench/parity.py MODEL --task gsm8k --items 200 --tokens 256 [--out FILE.json]`, where lm_eval is installed
(pip install 'whit[parity]'). The harness reads the items from a local JSONL file and renders, generates, extracts and
scores them with its own code. Prints how many prompts, texts and verdicts are equal, and each item that differs.
"""

import argparse
import json
from importlib.metadata import version
from pathlib import Path

from whit.data.render import Renderer
from whit.evaluation.evaluate import evaluate
from whit.models.load import load_policy, resolve_model
from whit.prompting.zero_shot import zero_shot
from whit.stages._score import choose_items
from whit.stages._task import load_task
from whit.testing.harness import harness


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model")
    parser.add_argument("--task", default="gsm8k")
    parser.add_argument("--items", type=int, default=200)
    parser.add_argument("--tokens", type=int, default=256)
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()

    path = resolve_model(arguments.model)
    examples = choose_items(load_task(arguments.task).take("test"), arguments.items)
    policy = load_policy(path)
    renderer = Renderer(policy.tokenizer, max_length=policy.decoder.config.max_length, more_stops=policy.stop_ids)
    ours = evaluate(policy, renderer, examples, zero_shot, max_new_tokens=arguments.tokens, num_samples=0).records
    theirs = harness(path, examples, max_new_tokens=arguments.tokens)

    rows = []
    for example, record, judged in zip(examples, ours, theirs, strict=True):
        rows.append({
            "id": example.id, "gold": example.gold,
            "same_prompt": renderer.prompt(zero_shot(example)) == policy.tokenizer.encode(judged.prompt),
            "same_text": record["completion"].strip() == judged.text.strip(),
            "strict": [record["strict"], judged.strict], "lenient": [record["correct"], judged.flexible],
            "text": record["completion"], "their_text": judged.text,
        })  # fmt: skip
    count = len(rows)
    print(f"{arguments.model} on {arguments.task}, lm_eval {version('lm_eval')}: of {count} items the same")
    print(f"  prompt tokens {sum(row['same_prompt'] for row in rows)}, text {sum(row['same_text'] for row in rows)}")
    for name in ("strict", "lenient"):
        mine, peer = (sum(row[name][side] for row in rows) for side in (0, 1))
        same = sum(row[name][0] == row[name][1] for row in rows)
        print(f"  {name:<8} verdict {same}; right: {mine} here, {peer} there")
    for row in rows:
        differing = [name for name in ("strict", "lenient") if row[name][0] != row[name][1]]
        if differing or not row["same_text"]:
            what = ", ".join(f"{name} {row[name][0]} here, {row[name][1]} there" for name in differing) or "text only"
            print(f"  {row['id']} (gold {row['gold']}): {what}: ...{row['text'][-80:]!r}")
    if arguments.out:
        arguments.out.write_text(json.dumps(rows, indent=1, ensure_ascii=False))


if __name__ == "__main__":
    main()
