r"""Draw a model's predictions on pictures, folders, videos or a webcam.

    drfpn-da predict --config-file C.yaml --input street.png folder 'more/*.jpg' --output drawn \
        MODEL.WEIGHTS model_final.pth
    drfpn-da predict --config-file C.yaml --input film.mp4 --compare before.pth after.pth
    drfpn-da predict --compare fpn.yaml:fpn.pth drfpn.yaml:drfpn.pth --input folder

Files that exist are never overwritten: a number is added to the name.
"""

from __future__ import annotations

import argparse
import glob
from collections.abc import Iterator
from pathlib import Path

from .common import add_config_options

IMAGES = {".jpg", ".jpeg", ".png", ".bmp", ".ppm", ".tif", ".tiff", ".webp"}
#: Formats of videos that are written -> their codec.
WRITTEN = {".mp4": "mp4v", ".avi": "mp4v", ".mov": "mp4v", ".mkv": "mp4v", ".webm": "VP80"}
VIDEOS = {*WRITTEN, ".mpg", ".mpeg"}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of ``predict``."""
    add_config_options(parser)
    parser.add_argument(
        "--input", nargs="+", default=[], help="pictures, folders, patterns, videos"
    )
    parser.add_argument("--webcam", type=int, metavar="N", help="number of a camera, from 0")
    parser.add_argument("--output", default="output/drawn", help="folder, or file for one input")
    parser.add_argument(
        "--compare", nargs="+", metavar="MODEL", help="checkpoints, or config.yaml:checkpoint pairs"
    )
    parser.add_argument(
        "--confidence-threshold", type=float, default=0.5, help="least score that is drawn"
    )


def verify(args: argparse.Namespace) -> None:
    """Find the files of ``--input``.

    Raises:
        SystemExit: there is nothing to draw on.
    """
    if not args.input and args.webcam is None:
        raise SystemExit("Nothing to draw on: give --input or --webcam")
    args.files = list(input_files(args.input))


def input_files(inputs: list[str]) -> Iterator[Path]:
    """Expand files, folders and patterns, in a stable order.

    Raises:
        SystemExit: one of them has no picture or video.
    """
    for item in inputs:
        path = Path(item).expanduser()
        if path.is_dir():
            found = [p for p in sorted(path.iterdir()) if p.suffix.lower() in IMAGES | VIDEOS]
        elif path.exists():
            found = [path]
        else:
            found = [Path(p) for p in sorted(glob.glob(str(path), recursive=True))]
        if not found:
            raise SystemExit(f"--input {item}: no such file, and no picture or video in it")
        yield from found
