"""Add slender objects to a COCO file: the work of ``drfpn-da data merge-slender``."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from ..data.coco import load_coco
from ..data.merge_coco import merge_slender
from ..visualization import save_text


def run(args: argparse.Namespace) -> Path:
    """Do the work; return the file it wrote."""
    data = []
    for path in (args.first, args.second):
        try:
            data.append(load_coco(path))
        except (OSError, ValueError) as error:
            raise SystemExit(str(error)) from None
    try:
        merged = merge_slender(*data, below=args.below, prefixes=tuple(args.prefixes))
    except ValueError as error:
        raise SystemExit(f"{args.first}, {args.second}: {error}") from None
    written = save_text(json.dumps(merged), args.output)
    info = merged["info"]
    print(
        f"{written}: {len(merged['images'])} images, {info['slender_added']} slender objects "
        f"added, {info['ignored_added']} others to be ignored"
    )
    return written
