"""The command `whit`: its commands, and the one place where errors become exit codes."""

import os
import sys
from collections.abc import Sequence
from typing import Annotated

import typer

from whit.cli.attention import attention
from whit.cli.cache import cache
from whit.cli.chat import chat
from whit.cli.demo import demo
from whit.cli.doctor import doctor
from whit.cli.evaluate import evaluate
from whit.cli.export import export
from whit.cli.generate import generate
from whit.cli.icl import icl
from whit.cli.inspect import inspect
from whit.cli.parts import parts
from whit.cli.plan import plan
from whit.cli.report import report
from whit.cli.run import run
from whit.cli.runs import runs
from whit.cli.space import space
from whit.cli.study import study
from whit.cli.write import write
from whit.core.errors import WhitError
from whit.core.words import wrapped

STOPPED = 130  # the shell's code for Ctrl-C

app = typer.Typer(
    name="whit",
    help="Which training makes my small language model good at this task, and what will it cost?",
    no_args_is_help=True,
    invoke_without_command=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)
COMMANDS = (
    demo, study, run, plan, evaluate, generate, write, cache, chat, parts, runs, report, export, inspect, doctor,
    attention, space, icl,
)  # fmt: skip
for command in COMMANDS:
    app.command()(command)


@app.callback()
def _options(version: Annotated[bool, typer.Option("--version", help="Print the version and end.")] = False) -> None:
    if version:
        from importlib.metadata import version as installed

        print(f"whit {installed('whit')}")
        raise typer.Exit


def main(arguments: Sequence[str] | None = None) -> None:
    """Run a command. Exit codes: 0 done, 1 failed, 2 wrong usage, 130 stopped by Ctrl-C.

    arguments: those of the process when None.
    """
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    # That a text is longer than a model's context is told by whit, with what to do.
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    try:
        app(arguments, standalone_mode=True)
    except WhitError as error:
        print(wrapped(f"error: {error}"), file=sys.stderr)
        sys.exit(error.exit_code)
    except PermissionError as error:  # a directory that may not be read; what is written has its own words
        told = f"error: {error.filename}: {error.strerror}. Give yourself the right to use it."
        print(wrapped(told), file=sys.stderr)
        sys.exit(1)
    except (KeyboardInterrupt, SystemExit) as end:  # typer turns Ctrl-C into an exit of its own
        if isinstance(end, SystemExit) and end.code != STOPPED:
            raise
        print("\nStopped. What is finished is kept: run the same command again to go on.", file=sys.stderr)
        sys.exit(STOPPED)


if __name__ == "__main__":
    main()
