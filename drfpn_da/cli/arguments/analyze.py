"""Parameters, multiply-adds, activations and structure of a model, part by part.

    drfpn-da analyze --config-file C.yaml --tasks parameter flop
    drfpn-da analyze --config-file lazy.py --input-size 800 1216

Counts are those of one picture in evaluation; heads depend on what the model proposes, so trained
weights (MODEL.WEIGHTS) change theirs. One multiply-add is one FLOP, as fvcore counts.
"""

from __future__ import annotations

import argparse

from .common import add_config_options

TASKS = ("parameter", "flop", "activation", "structure")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of ``analyze``."""
    add_config_options(parser, required=True)
    parser.add_argument(
        "--tasks", nargs="+", choices=TASKS, default=["parameter", "flop"], help="what to count"
    )
    parser.add_argument(
        "--input-size", nargs=2, type=int, metavar=("H", "W"), help="default: that of evaluation"
    )
    parser.add_argument("--load-weights", action="store_true", help="load MODEL.WEIGHTS first")
