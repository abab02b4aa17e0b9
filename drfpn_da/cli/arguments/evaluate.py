"""Evaluate a checkpoint on the test sets of a config.

drfpn-da evaluate --config-file CONFIG MODEL.WEIGHTS output/model_final.pth
drfpn-da evaluate --config-file CONFIG.py train.init_checkpoint=output/model_final.pth

Results are printed and written below "eval" in the output folder of the config.
"""

from __future__ import annotations

import argparse

from .common import add_config_options, add_run_options


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of ``evaluate``: those of ``train`` that act without training."""
    add_config_options(parser, required=True, register=True)
    parser.add_argument(
        "--resume", action="store_true", help="take the last checkpoint of the output folder"
    )
    add_run_options(parser)
    parser.set_defaults(eval_only=True)
