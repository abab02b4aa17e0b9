"""How slender the objects of a COCO file are, and which of them a detector misses.

    drfpn-da slender labels.json --output slender
    drfpn-da slender labels.json --results coco_instances_results.json --images pictures/

Writes a table and histograms by class; with the results of an evaluation (a file in its folder
"inference") also a sheet of the slender objects that were missed most clearly.
"""

from __future__ import annotations

import argparse


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of ``slender``."""
    parser.add_argument("annotations", metavar="LABELS.json", help="in COCO's format")
    parser.add_argument("--results", metavar="RESULTS.json", help="detections in COCO's format")
    parser.add_argument("--images", metavar="FOLDER", help="of the pictures, for --results")
    parser.add_argument("--output", default="output/slender", help="folder")
    parser.add_argument(
        "--edges", type=float, nargs="+", default=[1 / 5, 1 / 3],
        help="of the bins, ascending (default: 1/5 and 1/3)",
    )  # fmt: skip
    parser.add_argument("--number", type=int, default=20, help="misses on the sheet")
    parser.add_argument("--score", type=float, default=0.05, help="least score of a detection")


def verify(args: argparse.Namespace) -> None:
    """Check what the options say together.

    Raises:
        SystemExit: bins that do not ascend, or results without pictures.
    """
    if sorted(args.edges) != args.edges:
        raise SystemExit(f"--edges {args.edges}: not in ascending order")
    if args.results and not args.images:
        raise SystemExit("--results needs --images, the folder of the pictures")
