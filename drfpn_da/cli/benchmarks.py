"""Count and convert benchmarks: the work of ``drfpn-da data benchmarks``."""

from __future__ import annotations

import argparse
from collections import Counter

from detectron2.data import DatasetCatalog, MetadataCatalog

from ..data.datasets.benchmarks import BENCHMARKS, count_files
from ..data.datasets.paths import datasets_root


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


def run(args: argparse.Namespace) -> int:
    """Check or convert each benchmark that was asked for; return the exit status."""
    work = check if args.check else convert
    results = [work(name) for name in args.benchmark or BENCHMARKS]
    return 0 if all(results) else 1
