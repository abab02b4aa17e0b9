"""Make, convert and change data sets.

    drfpn-da data streets --size small --check
    drfpn-da data benchmarks --check
    drfpn-da data cityscapes /downloads/cityscapes --height 512 --budgets 100 372 744
    drfpn-da data noise instances.json --output noisy.json --rate 0.2 --seed 1
    drfpn-da data merge-slender first.json second.json --output merged.json

Nothing is downloaded. What each command does: drfpn-da data COMMAND --help
"""

from __future__ import annotations

import argparse
from pathlib import Path

from .common import add_command

STREETS = """Generate the street data sets ahead of their first use, and verify them.

    drfpn-da data streets --size small --check

They land in $DETECTRON2_DATASETS/drfpn_da_streets/ when that root exists, else in the cache folder.
What exists already is not generated again.
"""
BENCHMARKS = """Check the downloads of adaptation benchmarks, and convert them.

    drfpn-da data benchmarks --check                     # what is there, what is missing
    drfpn-da data benchmarks foggy_cityscapes clipart1k  # convert, and count

Nothing is downloaded, and nothing below $DETECTRON2_DATASETS is written: converted annotations go
to the cache ($DRFPN_DA_CACHE), where training finds them or makes them itself at first use. The
exit status is 1 if files are missing or cannot be read.
"""
CITYSCAPES = """Make small copies of Cityscapes for few labels and depth from video.

    drfpn-da data cityscapes /downloads/cityscapes --height 512 --budgets 100 372 744

reads leftImg8bit, gtFine and, where they are there, leftImg8bit_sequence and camera, and writes
$DETECTRON2_DATASETS/cityscapes_small/{train,val}, registered as cityscapes_small_train and _val,
with nested lists of the pictures to be labelled. What exists is kept. --check only counts.
"""
NOISE = """Write a COCO file with wrong classes, and the truth beside it, to study label noise.

    drfpn-da data noise instances.json --output noisy.json --rate 0.2 --seed 1
    drfpn-da data noise instances.json --output noisy.json --rate 0.3 \\
        --confuse car=truck truck=car

The truth goes to `noisy.truth.json`: settings, counts, and every changed annotation. Neither is
written over an existing file.
"""
MERGE = """Add the slender objects of one COCO file to another, as the paper's COCO+ does.

    drfpn-da data merge-slender instances_val2017.json objects365_val.json \\
        --prefixes val2017/ objects365/ --output coco_plus.json

Of the second file come the images with slender objects; their other objects become regions to
ignore. Classes are matched by name. Nothing is overwritten.
"""

# Those of drfpn_da.data.synthetic and drfpn_da.data.datasets.benchmarks, which a test compares.
SIZES = ("mini", "small", "demo", "tiny")
DOMAINS = ("clear", "foggy")
SPLITS = ("train", "val", "sequences")
NAMES = ("foggy_cityscapes", "sim10k", "kitti", "clipart1k", "watercolor2k", "comic2k")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the commands of ``data``."""
    commands = parser.add_subparsers(dest="data_command", required=True, metavar="COMMAND")
    _add_streets(add_command(commands, "streets", STREETS, "streets"))
    _add_benchmarks(add_command(commands, "benchmarks", BENCHMARKS, "benchmarks"))
    _add_cityscapes(add_command(commands, "cityscapes", CITYSCAPES, "cityscapes"))
    _add_noise(add_command(commands, "noise", NOISE, "noise"))
    _add_merge_slender(add_command(commands, "merge-slender", MERGE, "merge_slender"))


def _add_streets(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--size", nargs="+", choices=SIZES, default=["mini"], help="pictures and their number"
    )
    parser.add_argument(
        "--domain", nargs="+", choices=DOMAINS, default=list(DOMAINS), help="weather"
    )
    parser.add_argument("--split", nargs="+", choices=SPLITS, default=list(SPLITS), help="parts")
    parser.add_argument("--check", action="store_true", help="read everything back and verify it")


def benchmark(name: str) -> str:
    """Return the name of a benchmark that exists."""
    if name not in NAMES:
        raise argparse.ArgumentTypeError(
            f"unknown benchmark '{name}'; there are {', '.join(NAMES)}"
        )
    return name


def _add_benchmarks(parser: argparse.ArgumentParser) -> None:
    names = ", ".join(NAMES)
    parser.add_argument(
        "benchmark", nargs="*", type=benchmark, help=f"of {names}; default: all", metavar="NAME"
    )
    parser.add_argument("--check", action="store_true", help="only count files, convert nothing")


def _add_cityscapes(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("root", type=Path, help="folder of the official downloads")
    parser.add_argument("--height", type=int, default=512, help="of the copies, in pixels")
    parser.add_argument(
        "--budgets", type=int, nargs="*", default=[100, 372, 744], help="lengths of the lists"
    )
    parser.add_argument("--seed", type=int, default=42, help="of the lists")
    parser.add_argument("--check", action="store_true", help="only count what is there")


def _add_noise(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("annotations", type=Path, help="COCO instances, not changed")
    parser.add_argument("--output", type=Path, required=True, help="new file")
    parser.add_argument("--rate", type=float, required=True, help="probability in [0, 1]")
    parser.add_argument("--seed", type=int, default=0, help="of the choice")
    # Rates of classes belong to symmetric noise.
    kind = parser.add_mutually_exclusive_group()
    kind.add_argument(
        "--class-rate", nargs="+", default=[], metavar="NAME=RATE", help="rates of single classes"
    )
    kind.add_argument(
        "--confuse", nargs="+", default=[], metavar="FROM=TO", help="only these confusions"
    )


def _add_merge_slender(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("first", metavar="FIRST.json", help="all of it is kept")
    parser.add_argument("second", metavar="SECOND.json", help="its slender objects are added")
    parser.add_argument("--output", required=True, metavar="MERGED.json", help="new file")
    parser.add_argument(
        "--below", type=float, default=1 / 3, help="slenderness that counts (default: 1/3)"
    )
    parser.add_argument(
        "--prefixes", nargs=2, default=["", ""], metavar=("OF_FIRST", "OF_SECOND"),
        help="put before the file names of each (default: nothing)",
    )  # fmt: skip
