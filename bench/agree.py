"""Greedy text of our engine against `transformers.generate`, prompt by prompt.

`python bench/agree.py MODEL --task gsm8k --items 50 --tokens 512 [--dtype float32]`. Prints how many completions have the
same tokens, and for the others the place of the first difference and how close the two best logits were there: in
bfloat16 a tie can fall either way.
"""

import argparse

import torch
from transformers import AutoModelForCausalLM

from whit.data.render import Renderer
from whit.generation.engine import Engine
from whit.generation.sampler import Sampling
from whit.models.load import DTYPES, load_policy, resolve_model
from whit.prompting.zero_shot import zero_shot
from whit.stages._score import choose_items
from whit.stages._task import load_task


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model")
    parser.add_argument("--task", default="gsm8k")
    parser.add_argument("--items", type=int, default=50)
    parser.add_argument("--tokens", type=int, default=512)
    parser.add_argument("--dtype", default="bfloat16", choices=sorted(DTYPES))
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)

    path = resolve_model(arguments.model)
    policy = load_policy(path, dtype=arguments.dtype)
    renderer = Renderer(policy.tokenizer, max_length=policy.decoder.config.max_length, more_stops=policy.stop_ids)
    examples = choose_items(load_task(arguments.task).take("test"), arguments.items)
    prompts = [renderer.prompt(zero_shot(example)) for example in examples]
    engine = Engine(policy.decoder, renderer.stop_ids)
    ours = engine.generate(prompts, Sampling(temperature=0.0, max_new_tokens=arguments.tokens))
    peer = AutoModelForCausalLM.from_pretrained(path, dtype=DTYPES[arguments.dtype]).eval()

    same = 0
    for index, (prompt, (completion,)) in enumerate(zip(prompts, ours, strict=True)):
        with torch.no_grad():
            out = peer.generate(
                torch.tensor([prompt]), do_sample=False, max_new_tokens=arguments.tokens,
                eos_token_id=sorted(renderer.stop_ids), pad_token_id=renderer.end_of_turn, repetition_penalty=1.0,
            )  # fmt: skip
        theirs = out[0, len(prompt) :].tolist()
        mine = list(completion.ids)
        if mine == theirs:
            same += 1
            continue
        place = next(
            (i for i, (a, b) in enumerate(zip(mine, theirs, strict=False)) if a != b), min(len(mine), len(theirs))
        )
        with torch.no_grad():
            logits = peer(torch.tensor([prompt + theirs[:place]])).logits[0, -1].float()
        top = logits.topk(2).values
        apart = float(top[0] - top[1])
        print(f"prompt {index + 1}: first difference at token {place + 1}; the two best logits are {apart:.3f} apart")
    print(f"{same} of {len(prompts)} completions have the same tokens ({arguments.dtype})")


if __name__ == "__main__":
    main()
