"""What the command lines share: one style of help, options of configs, and checks of paths."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any, Optional

from ...arguments import add_dataset_options
from ...shipped_configs import get_config_file

Verify = Callable[[argparse.Namespace], None]


class HelpFormatter(argparse.RawDescriptionHelpFormatter, argparse.ArgumentDefaultsHelpFormatter):
    """Keeps examples as they are written, and shows the defaults that say something."""

    def _get_help_string(self, action: argparse.Action) -> Optional[str]:
        silent = action.default in (None, False, "", argparse.SUPPRESS) or action.default == []
        if silent or "default" in (action.help or ""):
            return action.help
        return super()._get_help_string(action)


def add_command(
    commands: Any,
    name: str,
    about: ModuleType | str | None,
    job: Optional[str] = None,
    light: bool = False,
    verify: Optional[Verify] = None,
) -> argparse.ArgumentParser:
    """Add a command to those of ``add_subparsers``.

    Args:
        commands: of ``add_subparsers``.
        name: what is typed.
        about: the help, or the module whose docstring it is; the first line stands in the list.
        job: module, or module:function, of :mod:`drfpn_da.cli` that does the work; None for a
            command that has commands itself.
        light: the work needs neither torch nor the registered parts.
        verify: checks options that depend on each other; raises SystemExit.
    """
    text = about.__doc__ if isinstance(about, ModuleType) else about
    parser = commands.add_parser(
        name,
        help=first_line(text),
        description=text,
        formatter_class=HelpFormatter,
    )
    if job is not None:
        add_debug_option(parser, argparse.SUPPRESS)
        parser.set_defaults(job=job, light=light, verify=verify)
    return parser


def first_line(text: str | None) -> str:
    """Return the first line of a help without its full stop."""
    return (text or "").strip().split("\n")[0].rstrip(".")


def add_debug_option(parser: argparse.ArgumentParser, default: Any = False) -> None:
    """Add ``--debug``, which every command has before or after its name."""
    parser.add_argument(
        "--debug", action="store_true", default=default, help="show where an error was raised"
    )


def add_config_options(
    parser: argparse.ArgumentParser, required: bool = False, register: bool = False
) -> None:
    """Add ``--config-file`` and the pairs KEY VALUE that change it.

    Args:
        parser: of the command; the pairs take what is left of its command line.
        required: there is no default.
        register: add ``--register`` and ``--register-images``.
    """
    parser.add_argument(
        "--config-file",
        default="",
        required=required,
        type=config_file,
        metavar="FILE",
        help="path, or name of a shipped config (drfpn-da configs list)",
    )
    if register:
        add_dataset_options(parser)
    parser.add_argument(
        "opts",
        nargs=argparse.REMAINDER,
        default=[],
        metavar="KEY VALUE",
        help="change the config; stand at the end",
    )


def add_run_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of runs in several processes, as detectron2's tools name them."""
    parser.add_argument("--num-gpus", type=int, default=1, help="processes on this machine")
    parser.add_argument("--num-machines", type=int, default=1, help="that take part in the run")
    parser.add_argument("--machine-rank", type=int, default=0, help="number of this machine")
    parser.add_argument(
        "--dist-url",
        default="auto",
        metavar="URL",
        help="where the processes meet; with several machines tcp://ADDRESS:PORT of the first",
    )


def config_file(name: str) -> str:
    """Return the name of a config that exists as a path or among the shipped ones."""
    if name and "://" not in name and not Path(name).is_file():
        try:
            get_config_file(name)
        except ValueError as error:
            raise argparse.ArgumentTypeError(f"{name} does not exist, and {error}") from None
    return name


def existing_path(name: str) -> Path:
    """Return the path of a file or folder that exists."""
    path = Path(name)
    if not path.exists():
        raise argparse.ArgumentTypeError(f"{name} does not exist")
    return path


def existing_folder(name: str) -> Path:
    """Return the path of a folder that exists."""
    path = Path(name)
    if not path.is_dir():
        raise argparse.ArgumentTypeError(f"{name} is no folder")
    return path


def new_file(name: str) -> Path:
    """Return a path where nothing is yet."""
    path = Path(name)
    if path.exists():
        raise argparse.ArgumentTypeError(f"{name} exists: name a new file")
    return path


def add_image_options(parser: argparse.ArgumentParser, default: str) -> None:
    """Add ``--datasets`` and ``--images``, which name the pictures that a command reads.

    Args:
        parser: of the command.
        default: key of the data sets that are read where neither is given.
    """
    parser.add_argument(
        "--datasets", nargs="+", metavar="SET", help=f"registered names; default: {default}"
    )
    parser.add_argument("--images", metavar="FOLDER", help="pictures below a folder instead")
