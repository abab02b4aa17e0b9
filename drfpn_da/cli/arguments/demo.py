"""Train small models on generated streets and write a page of what the project does.

    make demo                              # in a checkout: the same with set-up
    drfpn-da demo --length 3               # three times the steps
    drfpn-da demo --redraw output/demo     # the page of finished trainings anew

Four chapters: a detector adapted from clear streets to fog, labels corrected while training, mixes
by depth, and scores of thin objects. What the page says follows from what was measured. A run never
overwrites another: a new folder is made.
"""

from __future__ import annotations

import argparse

from .common import existing_folder
from .data import SIZES


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of ``demo``."""
    parser.add_argument("--output", default="output/demo", help="new folder of this run")
    parser.add_argument("--length", type=float, default=1.0, help="times the usual steps")
    parser.add_argument("--seed", type=int, default=1, help="of all trainings")
    parser.add_argument("--train-size", choices=SIZES, default="demo", help="of the streets")
    parser.add_argument("--test-size", choices=SIZES, default="small", help="of the streets")
    parser.add_argument("--one-process", action="store_true", help="train one after the other")
    parser.add_argument(
        "--redraw", type=existing_folder, metavar="FOLDER", help="only write its page anew"
    )
