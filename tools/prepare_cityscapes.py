#!/usr/bin/env python
"""Make small copies of Cityscapes for segmentation with few labels and depth from video.

    python tools/prepare_cityscapes.py /downloads/cityscapes --height 512 --budgets 100 372 744

reads leftImg8bit, gtFine and, where they are there, leftImg8bit_sequence and camera, and writes
$DETECTRON2_DATASETS/cityscapes_small/{train,val}, registered as cityscapes_small_train and _val,
with nested lists of the pictures to be labelled. What exists is kept. --check only counts.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from drfpn_da.data.datasets.cityscapes_small import (
    SPLITS,
    find_frames,
    prepare_split,
    write_budgets,
)


def parse_args(arguments: list[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("root", type=Path, help="folder of the official downloads")
    parser.add_argument("--height", type=int, default=512, help="of the copies, in pixels")
    parser.add_argument("--budgets", type=int, nargs="*", default=[100, 372, 744])
    parser.add_argument("--seed", type=int, default=42, help="of the lists")
    parser.add_argument("--check", action="store_true", help="only count what is there")
    return parser.parse_args(arguments)


def check(root: Path) -> None:
    """Print what each split has."""
    for split in SPLITS:
        frames = find_frames(root, split)
        whole = sum(None not in frame.neighbours for frame in frames)
        cameras = sum(frame.camera is not None for frame in frames)
        print(
            f"{split}: {len(frames)} labelled pictures, {whole} with both neighbours, {cameras} "
            "with a camera file"
        )


def main(arguments: list[str] | None = None) -> int:
    """Check or convert; return the exit status."""
    args = parse_args(arguments)
    try:
        if args.check:
            check(args.root)
            return 0
        for split in SPLITS:
            folder, counted = prepare_split(args.root, split, args.height)
            words = ", ".join(f"{n} with {what}" for what, n in counted.items())
            print(f"{folder}: {words or 'is there already'}")
        for path in write_budgets(folder.parent / "train", args.budgets, args.seed):
            print(path)
    except (OSError, ValueError) as error:
        print(f"prepare_cityscapes: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
