"""What the tasks that ask for Python have in common: how they ask, and how a reference solution is written."""

from collections.abc import Sequence

from whit.core.answers import ASK_FOR_PROGRAM
from whit.core.types import Example


def program_example(
    identity: str,
    prompt: str,
    solution: str,
    *,
    entry_point: str,
    tests: Sequence[str],
    setup: str = "",
    prefix: str = "",
) -> Example:
    """An example that the verifier `python_tests` judges; its docstring says what the keywords mean."""
    return Example(
        id=identity,
        prompt=prompt.strip(),
        gold=f"```python\n{solution.strip()}\n```",
        verifier="python_tests",
        answer_format="plain",
        instruction=ASK_FOR_PROGRAM,
        metadata={"entry_point": entry_point, "tests": list(tests), "setup": setup, "prefix": prefix},
    )
