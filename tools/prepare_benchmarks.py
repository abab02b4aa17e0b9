#!/usr/bin/env python
"""Check the downloads of adaptation benchmarks below $DETECTRON2_DATASETS, and convert them.

    python tools/prepare_benchmarks.py --check                     # what is there, what is missing
    python tools/prepare_benchmarks.py foggy_cityscapes clipart1k  # convert, and count

Nothing is downloaded, and nothing below $DETECTRON2_DATASETS is written: converted annotations go
to the cache ($DRFPN_DA_CACHE), where training finds them or makes them itself at first use. The
exit status is 1 if files are missing or cannot be read.
"""

from __future__ import annotations

import argparse
import sys
from collections import Counter

from detectron2.data import DatasetCatalog, MetadataCatalog

from drfpn_da.data.datasets.benchmarks import BENCHMARKS, count_files
from drfpn_da.data.datasets.paths import datasets_root


def parse_args(arguments: list[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    names = ", ".join(BENCHMARKS)
    parser.add_argument("benchmark", nargs="*", help=f"of {names}; default: all")
    parser.add_argument("--check", action="store_true", help="only count files, convert nothing")
    args = parser.parse_args(arguments)
    unknown = [name for name in args.benchmark if name not in BENCHMARKS]
    if unknown:
        parser.error(f"unknown benchmark '{unknown[0]}'; there are {names}")
    args.benchmark = args.benchmark or list(BENCHMARKS)
    return args


def check(benchmark: str) -> bool:
    """Print which files are there; return whether all are."""
    print(f"{benchmark}: below {datasets_root()}")
    complete = True
    for part, found in count_files(benchmark):
        if found >= part.count:
            print(f"  ok       {part.pattern}: {found:,}")
        else:
            complete = False
            word = "partial" if found else "missing"
            print(f"  {word}  {part.pattern}: {found:,} of {part.count:,}")
            print(f"           from {part.source}")
    return complete


def convert(benchmark: str) -> bool:
    """Load the data sets of a benchmark and print their sizes; return whether all could be."""
    print(f"{benchmark}:")
    for name in BENCHMARKS[benchmark].datasets:
        try:
            records = DatasetCatalog.get(name)
        except (OSError, ValueError, ModuleNotFoundError) as error:
            print(f"  failed   {name}: {error}")
            return False
        classes = MetadataCatalog.get(name).thing_classes
        counts = Counter(classes[a["category_id"]] for r in records for a in r["annotations"])
        boxes = ", ".join(f"{counts[c]:,} {c}" for c in classes)
        print(f"  ok       {name}: {len(records):,} pictures; {boxes}")
    return True


def main(arguments: list[str] | None = None) -> int:
    """Check or convert each benchmark that was asked for; return the exit status."""
    args = parse_args(arguments)
    work = check if args.check else convert
    results = [work(name) for name in args.benchmark]
    return 0 if all(results) else 1


if __name__ == "__main__":
    sys.exit(main())
