"""List the shipped configs, or print one with everything that it builds on.

drfpn-da configs list
drfpn-da configs list fcos
drfpn-da configs show drfpn/bccd/faster_rcnn_mobilenetv2_drfpn.yaml
drfpn-da configs show CONFIG SOLVER.MAX_ITER 100
"""

from __future__ import annotations

import argparse

from .common import add_command, config_file


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the commands of ``configs``."""
    commands = parser.add_subparsers(dest="configs_command", required=True, metavar="COMMAND")
    names = add_command(
        commands, "list", "Names of the shipped configs", "configs:list_names", True
    )
    names.add_argument("words", nargs="*", metavar="WORD", help="only names that have every word")
    show = add_command(
        commands, "show", "Print a config, all keys with their values", "configs:show"
    )
    show.add_argument("config_file", type=config_file, metavar="CONFIG", help="path or name")
    show.add_argument(
        "opts", nargs=argparse.REMAINDER, metavar="KEY VALUE", help="change the config first"
    )
