#!/usr/bin/env python
"""Check label files in COCO's format, and folders of pictures, before training.

    tools/check_data.py labels.json --images pictures/
    tools/check_data.py labels.json --images pictures/ --json report.json
    tools/check_data.py pictures/

Every tool makes this check of the files that it is given; here all pictures are looked at, and all
that was found is printed. Exit code: 0 the data can be used (a warning says what is done with what
it names), 1 there are errors, 2 the command is wrong. Nothing is changed.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path

from drfpn_da.data.check import check_data, report


def get_parser() -> argparse.ArgumentParser:
    """Return the command line's parser."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("data", nargs="+", type=Path, metavar="LABELS.json|FOLDER")
    parser.add_argument(
        "--images", type=Path, metavar="FOLDER", help="of the label files' pictures"
    )
    parser.add_argument(
        "--pictures-only",
        action="store_true",
        help="check the pictures of the label files alone, as of DATASETS.TARGET",
    )
    parser.add_argument("--json", type=Path, metavar="REPORT.json", help="new file for machines")
    return parser


def main(words: Sequence[str] | None = None) -> int:
    """Run the check; return the exit code."""
    parser = get_parser()
    args = parser.parse_args(words)
    for path in args.data:
        if not path.exists():
            parser.error(f"{path} does not exist")
    if args.images is not None and not args.images.is_dir():
        parser.error(f"--images {args.images} is no folder")
    if args.json is not None and args.json.exists():
        parser.error(f"--json {args.json} exists: name a new file")
    checked = [check_data(p, args.images, labels=not args.pictures_only) for p in args.data]
    for findings in checked:
        state = "errors" if findings.errors else "warnings" if findings.warnings else "sound"
        print(f"{findings.file}: {state}")
        if state != "sound":
            print(findings.table())
    if args.images is None and any(path.is_file() for path in args.data):
        print("The pictures of label files were not looked for: give --images FOLDER")
    result = report(checked)
    if args.json is not None:
        args.json.parent.mkdir(parents=True, exist_ok=True)
        args.json.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
        print(f"Report: {args.json}")
    return 0 if result["sound"] else 1


if __name__ == "__main__":
    raise SystemExit(main())
