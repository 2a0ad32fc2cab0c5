"""The Hugging Face hub: whether it answers, asked once and without waiting, and quiet where it does not.

Asked for what they cannot reach, its libraries try again for half a minute and tell each try. What whit says instead names
the ways that are left, so what it calls should fail at once and in silence.
"""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

TIMEOUT_SECONDS = 5.0


def answers(name: str, kind: Literal["dataset", "model"]) -> bool:
    """Whether the hub answers at all when asked for a repository: a refusal is an answer."""
    from huggingface_hub import HfApi
    from huggingface_hub.errors import HfHubHTTPError

    ask = HfApi().dataset_info if kind == "dataset" else HfApi().model_info
    try:
        ask(name, timeout=TIMEOUT_SECONDS)
    except HfHubHTTPError:
        return True
    except Exception:  # no name, no route, no connection: the type is the HTTP library's
        return False
    return True


@contextmanager
def quietly() -> Iterator[None]:
    """Within, the hub's library logs errors alone."""
    from huggingface_hub.utils import logging as hub_logging

    before = hub_logging.get_verbosity()
    hub_logging.set_verbosity(logging.ERROR)
    try:
        yield
    finally:
        hub_logging.set_verbosity(before)


@contextmanager
def data_sets(name: str) -> Iterator[bool]:
    """Within, `datasets` looks into its cache alone where the hub does not answer. Gives whether it does.

    name: of a data set, or of a directory, which needs no hub.
    """
    import datasets

    was_offline, is_reachable = datasets.config.HF_HUB_OFFLINE, Path(name).exists() or answers(name, "dataset")
    datasets.config.HF_HUB_OFFLINE = was_offline or not is_reachable
    try:
        with quietly():
            yield is_reachable
    finally:
        datasets.config.HF_HUB_OFFLINE = was_offline
