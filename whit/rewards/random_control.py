"""A reward that knows nothing, to see what RL gains without one. Source: arXiv:2506.10947, the control with random rewards.

Some models gain from such rewards, through clipping and through what they already prefer to write. What a training gains
beyond this control is what its reward taught.
"""

from whit.core.seeds import key64
from whit.core.types import Verdict


def random_control(verdict: Verdict, text: str, *, share: float = 0.5, seed: int = 0) -> float:
    """1 for a share of all texts and 0 for the others, by a hash of the text; the verdict is not looked at.

    The same text earns the same whatever the prompt (inferred: the source draws anew). Where few different texts are
    possible, as with bare labels, a policy can learn which ones pay: it is a control for completions that are worked out.
    """
    return float(key64(seed, "random_control", text.encode("utf-8", "replace")) < share * 2**64)
