"""The plain data that flows through whit: examples in, completions and verdicts out, artifacts at rest."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from whit.core.files import read_record

Role = Literal["system", "user", "assistant"]
Split = Literal["train", "dev", "test", "ood"]
"""Disjoint by group. "ood": harder than the training data on purpose; only tasks that say so have it."""
AnswerFormat = Literal["hash", "boxed", "tags", "plain"]
"""How a prompt asks for the final answer: '#### 7', '\\boxed{7}', '<answer>7</answer>', or the answer alone."""


@dataclass(frozen=True, slots=True)
class Message:
    """One turn of a conversation."""

    role: Role
    content: str


@dataclass(frozen=True, slots=True)
class Example:
    """One record of a task.

    group: examples of one group never stand in two splits, and intervals cluster by it (default: the id; the
        template for generated tasks; a column of the user's file).
    choices: the labels between which the `choice` verifier decides; empty elsewhere.
    instruction: what the prompt adds to ask for `answer_format`; None takes the format's own sentence, "" adds nothing.
    """

    id: str
    prompt: str
    gold: str
    verifier: str = "exact_number"
    rationale: str | None = None
    group: str = ""
    choices: tuple[str, ...] = ()
    answer_format: AnswerFormat = "hash"
    instruction: str | None = None
    metadata: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not self.group:
            object.__setattr__(self, "group", self.id)


Ask = Callable[[Example], Sequence[Message]]
"""A way of asking: from an example to the messages that the model is given (the parts of `prompting`, bound)."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a verifier says of one completion.

    correct: the answer found anywhere by the lenient rule equals the gold answer: the deciding metric.
    strict: correct, and written in the form that the prompt asked for.
    has_format: that form is present, right or wrong.
    status: "ok" and "no_answer" when a judgement was made, right or wrong; the others are counted and shown, never a silent
        zero. "crash": the verifier raised or ended its process; "timeout": it took too long; "undecided": its prover gave
        up; "bad_gold": the example cannot be judged; "not_started": its sandbox or worker did not come up.
    reward: set by verifiers that know more than right and wrong: a user's reward function, a ladder; a reward part
        reads `correct` otherwise.
    is_at_fault: after "crash", "timeout" or "undecided", that the verifier takes the example's gold answer: so it was the
        completion that brought it down, and is wrong.
    """

    correct: bool
    strict: bool = False
    has_format: bool = False
    answer: str | None = None
    status: Literal["ok", "no_answer", "bad_gold", "timeout", "undecided", "crash", "not_started"] = "ok"
    reason: str = ""
    reward: float | None = None
    is_at_fault: bool = False

    @property
    def is_judged(self) -> bool:
        """Whether it says something of the completion, so that its reward counts."""
        return self.status in ("ok", "no_answer") or self.is_at_fault


@dataclass(frozen=True, slots=True)
class Completion:
    """Token ids that the engine wrote for one prompt, the stop token included when there is one.

    logprobs: log-probability of each id under softmax(logits / temperature), nats, before top-p or top-k.
    finish: "stop" at a stop token or stop string, "length" when the limit cut it off.
    """

    ids: tuple[int, ...]
    logprobs: tuple[float, ...]
    finish: Literal["stop", "length"]


@dataclass(frozen=True, slots=True)
class Segment:
    """A stretch of a rollout. Only the policy's own segments carry logprobs and are supervised."""

    ids: tuple[int, ...]
    role: Literal["prompt", "policy", "tool"]
    logprobs: tuple[float, ...] | None = None


@dataclass(frozen=True, slots=True)
class Rollout:
    """One completion of one prompt with its verdict and reward."""

    segments: tuple[Segment, ...]
    text: str
    finish: Literal["stop", "length"]
    verdict: Verdict
    reward: float


@dataclass(frozen=True, slots=True)
class Group:
    """The rollouts of one prompt. Advantages are taken inside it, so it is keyed by prompt instance.

    has_signal: whether some rollout is better than others, where that was said before rewards were shaped.
    """

    example: Example
    rollouts: tuple[Rollout, ...]
    has_signal: bool | None = None


@dataclass(frozen=True, slots=True)
class Answered:
    """What a shaping sees of a rollout: its reward so far, and how long it is.

    length, limit: tokens of the completion, and the most that it could have had; one that was cut off counts as that long.
    level: the level of length that its prompt asked for; "" for none.
    """

    reward: float
    correct: bool
    length: int
    limit: int
    text: str = ""
    level: str = ""


Shaping = Callable[[Sequence[Answered]], list[float]]
"""From the rollouts of one prompt to the rewards that take the place of theirs."""


@dataclass(frozen=True, slots=True)
class Interval:
    """An estimate with the ends of its confidence interval, all in the same unit."""

    estimate: float
    low: float
    high: float

    def percent(self) -> str:
        """'41.3 % [38.9, 43.7]' for a share between 0 and 1."""
        return f"{100 * self.estimate:.1f} % [{100 * self.low:.1f}, {100 * self.high:.1f}]"


@dataclass(frozen=True, slots=True)
class Artifact:
    """An immutable directory that a stage wrote: weights, tokenizer, `artifact.json`, `metrics.jsonl`.

    key: content key of everything that went into it; two artifacts with one key are interchangeable.
    """

    path: Path
    key: str

    def facts(self) -> dict[str, Any]:
        """What `artifact.json` records: stage, settings, inputs, ledger, outcome; {} for a plain model directory."""
        record = self.path / "artifact.json"
        return read_record(record) if record.exists() else {}


def join_ids(segments: Sequence[Segment]) -> tuple[int, ...]:
    """All token ids of a rollout in order."""
    return tuple(token for segment in segments for token in segment.ids)
