"""What goes wrong in RL while it runs, seen early and said once, each with what to try.

They compare the last steps with the first ones. A collapse is judged at the end (`training/collapse.py`); these only warn.
"""

from collections import deque
from collections.abc import Callable, Mapping
from statistics import fmean
from typing import Any

WINDOW = 8  # steps
SETTLED, SETTLED_NATS = 0.2, 0.1  # of the first entropy, and in nats: both
GROWN, GROWN_NATS = 2.0, 1.0
LONGER, CUT_OFF = 1.5, 0.3  # times the first length, and share that the limit cuts off: both
MORE_CUT = 0.2  # of all completions, that the limit cuts off beyond the first share
FORM, NO_GAIN = 0.2, 0.02  # how much more form, at how little more accuracy
SAME = 0.9  # share of groups without a signal
APART = 0.5  # nats a token from the reference
REPEATED = 0.3  # share of a text's phrases that stood in it before
UNJUDGED = 0.1  # of all completions
MISMATCH = 0.05  # nats between sampler and trainer on the same tokens

Line = Mapping[str, float]


class Guards:
    """Told of every batch of rollouts and of every update. say: receives each warning as it is raised, once."""

    name = "guards"

    def __init__(self, say: Callable[[str], None], *, needs_spread: bool = True):
        """needs_spread: whether groups whose rewards are all equal teach nothing."""
        self.say, self.needs_spread = say, needs_spread
        self.first: dict[str, list[float]] = {}
        self.last: dict[str, deque[float]] = {}
        self.said: dict[str, str] = {}
        self.batches = 0

    def see(self, figures: Line) -> None:
        """The figures of a batch of rollouts, whether it is trained on or not."""
        self.batches += 1
        self._take({k: v for k, v in figures.items() if k in WATCHED})
        if self.batches == 1 and figures.get("truncated") == 1.0:
            self.warn("stop", "every completion was cut off in the first step, so no end of turn was reached. Raise "
                       "max_new_tokens, or run SFT first.")  # fmt: skip
        all_equal = set(self.first.get("equal_groups", ())) == {1.0}
        if self.batches == WINDOW and all_equal and len(set(self.first["reward"])) == 1:
            right = fmean(self.first.get("accuracy", [0.0]))
            also = f", and {100 * right:.0f} % are right" if 0 < right < 1 else ""
            self.warn("one_reward", f"every completion so far earned {self.first['reward'][0]:g}{also}. Check the reward "
                      "on a right and a wrong answer (`whit doctor`).")  # fmt: skip
        self._compare()

    def observe(self, line: Line) -> None:
        """The record of an update."""
        if "mismatch" in line and line["mismatch"] > MISMATCH:
            self.warn("mismatch", f"sampler and trainer differ by {line['mismatch']:.2f} nats a token on the same text: "
                       "ratios are biased. Use dtype = \"float32\", or correction = { level = \"token\" }.")  # fmt: skip
        self._take({k: line[k] for k in ("entropy", "reference_gap") if k in line})
        self._compare()

    def numbers(self) -> dict[str, float]:
        return {"warnings": float(len(self.said))}

    def state(self) -> dict[str, Any]:
        last = {name: list(values) for name, values in self.last.items()}
        return {"first": self.first, "last": last, "said": self.said, "batches": self.batches}

    def restore(self, state: Mapping[str, Any]) -> None:
        self.first, self.said, self.batches = dict(state["first"]), dict(state["said"]), state["batches"]
        self.last = {name: deque(values, WINDOW) for name, values in state["last"].items()}

    def _take(self, figures: Line) -> None:
        for name, value in figures.items():
            first = self.first.setdefault(name, [])
            if len(first) < WINDOW:
                first.append(float(value))
            self.last.setdefault(name, deque(maxlen=WINDOW)).append(float(value))

    def _ends(self, name: str) -> tuple[float, float] | None:
        """The means of the first steps and of the last ones; None while there are too few."""
        if len(self.last.get(name, ())) < WINDOW:
            return None
        return fmean(self.first[name]), fmean(self.last[name])

    def _compare(self) -> None:
        for name, check in CHECKS.items():
            if name == has_no_signal.__name__ and not (self.needs_spread and self._is_the_model):
                continue
            if name not in self.said and (found := check(self._ends)):
                self.warn(name, found)

    @property
    def _is_the_model(self) -> bool:
        """Whether it is the model, and not a reward that is the same for right and wrong, that leaves groups equal."""
        return "one_reward" not in self.said or not 0 < fmean(self.first.get("accuracy", [0.0])) < 1

    def warn(self, name: str, text: str) -> None:
        """Say it once. name: what is warned of."""
        if name not in self.said:
            self.said[name] = text
            self.say(text)


Ends = Callable[[str], tuple[float, float] | None]
WATCHED = (
    "reward",
    "accuracy",
    "format_rate",
    "truncated",
    "completion_tokens",
    "equal_groups",
    "repeated",
    "not_judged",
)


def settles(ends: Ends) -> str:
    """Entropy that is nearly gone: every completion of a prompt becomes the same."""
    found = ends("entropy")
    if not found or found[1] > min(SETTLED * found[0], SETTLED_NATS):
        return ""
    return (
        f"the entropy fell from {found[0]:.2f} to {found[1]:.2f} nats a token: groups will be of one kind. Try a lower "
        "learning rate, entropy = 0.001, clip_high = 0.28, or kl = { weight = 0.001 }."
    )


def scatters(ends: Ends) -> str:
    """Entropy that grows: text that means nothing."""
    found = ends("entropy")
    if not found or found[1] < max(GROWN * found[0], GROWN_NATS):
        return ""
    return (
        f"the entropy grew from {found[0]:.2f} to {found[1]:.2f} nats a token: look at completions. Try a lower learning "
        "rate, no entropy bonus, or kl = { weight = 0.001 }."
    )


def runs_on(ends: Ends) -> str:
    """Completions that grow into the limit."""
    length, cut = ends("completion_tokens"), ends("truncated")
    if not length or not cut:
        return ""
    grew = length[1] >= LONGER * length[0] and cut[1] >= CUT_OFF
    if not grew and cut[1] - cut[0] < MORE_CUT:  # near the limit lengths hardly grow: fewer completions end
        return ""
    return (
        f"completions went from {length[0]:.0f} to {length[1]:.0f} tokens, and from {100 * cut[0]:.0f} to "
        f"{100 * cut[1]:.0f} % of them are cut off. Try "
        'shaping = "soft_overlong", reduction = "token", or a higher max_new_tokens.'
    )


def learns_the_form(ends: Ends) -> str:
    """Form that grows, and right answers that do not: where form is paid, it is earned alone."""
    form, accuracy = ends("format_rate"), ends("accuracy")
    if not form or not accuracy or form[1] - form[0] < FORM or accuracy[1] - accuracy[0] > NO_GAIN:
        return ""
    return (
        f"the form that the prompt asks for went from {100 * form[0]:.0f} to {100 * form[1]:.0f} %, right answers from "
        f"{100 * accuracy[0]:.1f} to {100 * accuracy[1]:.1f} %: it grows without them. Where the reward pays for form, pay "
        'less for it, or only for right answers (reward = "gated"); else run SFT first, or take easier problems.'
    )


def has_no_signal(ends: Ends) -> str:
    """Groups whose rewards are all equal."""
    same, reward = ends("equal_groups"), ends("accuracy")
    if not same or same[1] < SAME:
        return ""
    hint = "take harder problems" if reward and reward[1] > 0.5 else "run SFT first, or take easier problems"
    return (
        f'{100 * same[1]:.0f} % of groups have equal rewards and no gradient: {hint}; also algorithm = "dapo", a larger '
        'group_size, or curriculum = "difficulty".'
    )


def leaves(ends: Ends) -> str:
    """A policy far from its reference."""
    found = ends("reference_gap")
    if not found or found[1] < APART:
        return ""
    return f"the policy is {found[1]:.2f} nats a token from the reference. Try a lower learning rate or a larger kl.weight."


def repeats(ends: Ends) -> str:
    """Text that loops."""
    found = ends("repeated")
    if not found or found[1] < max(REPEATED, 1.5 * found[0]):
        return ""
    return (
        f"{100 * found[1]:.0f} % of the phrases of a completion stood in it before ({100 * found[0]:.0f} % at first). Try "
        'shaping = "repetition", or a lower learning rate.'
    )


def cannot_be_judged(ends: Ends) -> str:
    """Completions whose verifier fails on the gold answer too: they are not trained on."""
    found = ends("not_judged")
    if not found or found[1] < UNJUDGED:
        return ""
    return (
        f"{100 * found[1]:.0f} % of completions could not be judged, and are not trained on: the verifier fails on gold "
        "answers too, or its worker does not start. `whit doctor` tries it."
    )


CHECKS: dict[str, Callable[[Ends], str]] = {
    f.__name__: f
    for f in (settles, scatters, runs_on, learns_the_form, has_no_signal, leaves, repeats, cannot_be_judged)
}
