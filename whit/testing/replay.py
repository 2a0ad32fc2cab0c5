"""An engine that samples nothing: it replays completions that were written down."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from whit.core.types import Completion


class Replay:
    """Takes the place of `generation.engine.Engine`. completions: token ids by the key of a prompt, one list a sample.

    A completion of n tokens costs n operations; each of its tokens has the log-probability -1.
    """

    def __init__(self, completions: Mapping[str, Sequence[Sequence[int]]], *, finish: str = "stop"):
        self.completions, self.finish = completions, finish

    def generate(
        self, prompts: Sequence[Sequence[int]], sampling: Any, *, num_samples: int = 1, seed: int = 0,
        keys: Sequence[str] | None = None, notify: Any = None,
        finished: Callable[[int, int, Completion], None] | None = None,
    ) -> list[list[Completion]]:  # fmt: skip
        names = [str(i) for i in range(len(prompts))] if keys is None else keys
        groups = [[self._completion(ids) for ids in self.completions[name][:num_samples]] for name in names]
        if finished:
            for prompt, group in enumerate(groups):
                for sample, completion in enumerate(group):
                    finished(prompt, sample, completion)
        return groups

    def flops(self, prompts: Sequence[Sequence[int]], completions: Sequence[Sequence[Completion]]) -> tuple[float, int]:
        tokens = sum(len(completion.ids) for group in completions for completion in group)
        return float(tokens), tokens

    def _completion(self, ids: Sequence[int]) -> Completion:
        return Completion(tuple(ids), (-1.0,) * len(ids), "stop" if self.finish == "stop" else "length")
