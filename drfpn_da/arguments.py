"""Options of command lines that several parts read; needs neither torch nor detectron2."""

from __future__ import annotations

import argparse


def add_dataset_options(parser: argparse.ArgumentParser) -> None:
    """Add ``--register`` and ``--register-images``."""
    parser.add_argument(
        "--register",
        nargs=3,
        action="append",
        default=[],
        metavar=("NAME", "JSON", "IMAGES"),
        help="make a data set in COCO format known under NAME; may be repeated",
    )
    parser.add_argument(
        "--register-images",
        nargs=2,
        action="append",
        default=[],
        metavar=("NAME", "FOLDER"),
        help="make the pictures below a folder known under NAME, without labels (for "
        "DATASETS.TARGET or prediction); may be repeated",
    )
