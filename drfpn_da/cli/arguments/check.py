"""Check label files in COCO's format, and folders of pictures, before training.

    drfpn-da check labels.json --images pictures/
    drfpn-da check labels.json --images pictures/ --json report.json
    drfpn-da check pictures/

Every command makes this check of the files that it is given; here all pictures are looked at, and
all that was found is printed. Exit code: 0 the data can be used (a warning says what is done with
what it names), 1 there are errors, 2 the command is wrong. Nothing is changed.
"""

from __future__ import annotations

import argparse

from .common import existing_folder, existing_path, new_file


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of ``check``."""
    parser.add_argument(
        "data", nargs="+", type=existing_path, metavar="LABELS.json|FOLDER", help="what to check"
    )
    parser.add_argument(
        "--images", type=existing_folder, metavar="FOLDER", help="of the label files' pictures"
    )
    parser.add_argument(
        "--pictures-only",
        action="store_true",
        help="check the pictures of the label files alone, as of DATASETS.TARGET",
    )
    parser.add_argument(
        "--json", type=new_file, metavar="REPORT.json", help="new file for machines"
    )
