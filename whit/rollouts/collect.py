"""Sample completions of examples, judge and reward them: prompts to groups."""

from collections.abc import Callable, Sequence

from whit.core.ledger import Ledger
from whit.core.types import Ask, Completion, Example, Group, Rollout, Segment, Verdict
from whit.data.render import Renderer
from whit.generation.engine import Engine
from whit.generation.sampler import Sampling
from whit.shaping.repetition import repeated
from whit.verifiers._workers import Verdicts

Reward = Callable[[Verdict, str], float]


def collect(
    engine: Engine,
    renderer: Renderer,
    examples: Sequence[Example],
    ask: Ask,
    reward: Reward,
    *,
    num_samples: int,
    sampling: Sampling,
    seed: int,
    ledger: Ledger,
) -> list[Group]:
    """`num_samples` rollouts of each example, one group an example. Sampling is charged to the ledger.

    Token ids are kept as they were sampled: text serves the verifier only, and is never encoded again.
    """
    prompts = [renderer.prompt(list(ask(example))) for example in examples]
    verdicts = Verdicts(examples, renderer.decode)
    with ledger.timed("sample"):
        completions = engine.generate(
            prompts, sampling, num_samples=num_samples, seed=seed, keys=[example.id for example in examples],
            finished=verdicts.finished,
        )  # fmt: skip
    flops, tokens = engine.flops(prompts, completions)
    ledger.charge("sample", flops=flops, tokens=tokens)
    rollouts = [
        [_rollout(prompt, completion, *said, reward) for completion, said in zip(group, judged, strict=True)]
        for prompt, group, judged in zip(prompts, completions, verdicts.groups(), strict=True)
    ]
    return [Group(example, tuple(own)) for example, own in zip(examples, rollouts, strict=True)]


def figures(groups: Sequence[Group]) -> dict[str, float]:
    """What is watched at every step: reward, lengths, truncation, and how many groups carry a signal.

    Reward, accuracy and form are of what was judged; 0 where nothing was, which `not_judged` = 1 says.
    """
    rollouts = [rollout for group in groups for rollout in group.rollouts]
    verdicts = [rollout.verdict for rollout in rollouts if rollout.verdict.is_judged]
    count, num_judged = max(1, len(rollouts)), max(1, len(verdicts))
    judged = [[r.reward for r in group.rollouts if r.verdict.is_judged] for group in groups]
    equal = [len(set(rewards)) == 1 for rewards in judged if len(rewards) > 1]
    return {
        "reward": sum(reward for rewards in judged for reward in rewards) / num_judged,
        "accuracy": sum(verdict.correct for verdict in verdicts) / num_judged,
        "format_rate": sum(verdict.has_format for verdict in verdicts) / num_judged,
        "truncated": sum(r.finish == "length" for r in rollouts) / count,
        "completion_tokens": sum(len(r.segments[-1].ids) for r in rollouts) / count,
        **({"equal_groups": sum(equal) / len(equal)} if equal else {}),
        "repeated": sum(repeated(r.text, 4) for r in rollouts) / count,
        "not_judged": sum(not r.verdict.is_judged for r in rollouts) / count,
    }


def _rollout(prompt: list[int], completion: Completion, text: str, verdict: Verdict, reward: Reward) -> Rollout:
    segments = (Segment(tuple(prompt), "prompt"), Segment(completion.ids, "policy", completion.logprobs))
    return Rollout(segments, text, completion.finish, verdict, reward(verdict, text))
