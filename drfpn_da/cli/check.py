"""Check data before training: the work of ``drfpn-da check``."""

from __future__ import annotations

import argparse
import json

from ..data.check import check_data, report


def run(args: argparse.Namespace) -> int:
    """Run the check; return the exit code."""
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
