"""Small copies of Cityscapes: the work of ``drfpn-da data cityscapes``."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from ..data.datasets.cityscapes_small import (
    SPLITS,
    find_frames,
    prepare_split,
    write_budgets,
)


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


def run(args: argparse.Namespace) -> int:
    """Check or convert; return the exit status."""
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
