"""From the words of a command line to the work, and from errors to one message."""

from __future__ import annotations

import argparse
import importlib
import sys
from collections.abc import Callable, Sequence
from typing import Any, Optional

from . import arguments as _arguments
from .arguments.common import HelpFormatter, Verify, add_command, add_debug_option

EPILOG = """Start with one of these:

    drfpn-da configs list
    drfpn-da train --config-file drfpn/streets/faster_rcnn_mobilenetv2_drfpn_mini.yaml
    drfpn-da check labels.json --images pictures/

drfpn-da COMMAND --help shows the options and examples of a command."""

# Command -> what does its work; None: its own commands name theirs. In the order of the help.
COMMANDS = {
    "train": "train",
    "evaluate": "train",
    "predict": "predict",
    "audit": None,
    "select": "select",
    "slender": "slender",
    "depth": "depth",
    "export": "export",
    "analyze": "analyze",
    "domains": "domains",
    "visualize": "visualize",
    "check": "check",
    "configs": None,
    "data": None,
    "demo": "demo",
}
# What bad input raises; CheckpointError is a ValueError. Other errors are faults of the program.
USER_ERRORS = (ValueError, KeyError, OSError, ImportError)


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of all commands."""
    parser = argparse.ArgumentParser(
        prog="drfpn-da",
        description="Adapt, train and audit detectors when labels are scarce, noisy or foreign.",
        epilog=EPILOG,
        formatter_class=HelpFormatter,
    )
    add_debug_option(parser)
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name, job in COMMANDS.items():
        about = importlib.import_module(f"{_arguments.__name__}.{name}")
        verify: Optional[Verify] = getattr(about, "verify", None)
        about.add_arguments(add_command(commands, name, about, job, verify=verify))
    return parser


def call(words: Optional[Sequence[str]] = None, prepare: Callable[[], None] | None = None) -> Any:
    """Read a command line and do what it says; errors pass.

    Args:
        words: by default those that the program was started with.
        prepare: called when the options are right, before what needs torch is imported.

    Returns:
        What the command returns: what it wrote or found, or an exit code.
    """
    return _run(build_parser().parse_args(words), prepare)


def _run(args: argparse.Namespace, prepare: Callable[[], None] | None) -> Any:
    options = vars(args)
    job, light, verify = (options.pop(name) for name in ("job", "light", "verify"))
    if verify is not None:
        verify(args)
    if prepare is not None and not light:
        prepare()
    module, _, function = job.partition(":")
    work = getattr(importlib.import_module(f"{__package__}.{module}"), function or "run")
    return work(args)


def main(words: Optional[Sequence[str]] = None, prepare: Callable[[], None] | None = None) -> int:
    """Do what a command line says; return the exit code.

    What the user can mend ends in one message and exit code 1, with ``--debug`` in a traceback; a
    wrong command line ends in exit code 2. Errors that carry no sentence are faults of the program
    and always show where they come from. Arguments as of :func:`call`.
    """
    args = build_parser().parse_args(words)
    try:
        result = _run(args, prepare)
    except USER_ERRORS as error:
        message = _message(error)
        if args.debug or message is None:
            raise
        print(f"drfpn-da {args.command}: {message}", file=sys.stderr)
        return 1
    return result if isinstance(result, int) else 0


def _message(error: BaseException) -> str | None:
    """Return the sentence of an error, or None if it has none, as a KeyError of a bare key."""
    # str() of a KeyError would put its sentence in quotes, line breaks written as \n.
    text = str(error.args[0]) if isinstance(error, KeyError) and error.args else str(error)
    return text if " " in text.strip() else None


class Script:
    """A command as a file of ``tools``, which others may load and call.

    Args:
        command: its words, such as "audit".
    """

    def __init__(self, *command: str) -> None:
        self.command = command

    def __call__(self, words: Optional[Sequence[str]] = None) -> Any:
        """Do what the words after the command say; return what was written or found.

        Errors pass. By default the words are those that the program was started with.
        """
        return call([*self.command, *(sys.argv[1:] if words is None else words)])

    def run(self) -> int:
        """Do it as a program; return the exit code, see :func:`main`."""
        return main([*self.command, *sys.argv[1:]])
