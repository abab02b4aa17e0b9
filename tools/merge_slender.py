#!/usr/bin/env python
"""Add the slender objects of one COCO file to another, as the paper's COCO+ does.

    tools/merge_slender.py instances_val2017.json objects365_val.json \
        --prefixes val2017/ objects365/ --output coco_plus.json

Of the second file come the images with slender objects; their other objects become regions to
ignore. Classes are matched by name. Nothing is overwritten.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from drfpn_da.data.coco import load_coco
from drfpn_da.data.merge_coco import merge_slender
from drfpn_da.visualization import save_text


def main(argv: list[str] | None = None) -> Path:
    """Run the tool and return the file it wrote."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("first", metavar="FIRST.json")
    parser.add_argument("second", metavar="SECOND.json")
    parser.add_argument("--output", required=True, metavar="MERGED.json")
    parser.add_argument("--below", type=float, default=1 / 3, help="slenderness that counts")
    parser.add_argument(
        "--prefixes", nargs=2, default=["", ""], help="put before the file names of each"
    )
    args = parser.parse_args(argv)
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


if __name__ == "__main__":
    main()
